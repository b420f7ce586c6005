// Package client gets OAuth 2.0 access tokens for a workload from the SVID it
// already holds. No secret is stored, and no key leaves memory.
//
// [New] reads and checks the authorization server's metadata; [Client.Token]
// returns a token from the cache or asks for one; [Client.Transport] puts tokens
// on HTTP requests to one API. Tokens are renewed in the background before they
// end and are served until they end when the server is down. When an X.509-SVID
// is at hand every token request presents it, so that the token can be bound to
// it, and a rotated SVID means a new token on new connections. A WIT-SVID is shown
// with a proof of possession of its key; tokens are bound to that key then, and each
// call of an API carries a DPoP proof ([Token.Authorize]).
//
// The server is verified by the system's roots, or by Config.RootCAs, and refused when
// it has an X.509-SVID instead; one that is pinned by Config.ServerID is known by that
// SPIFFE ID and by nothing else.
//
// The package takes SVIDs from small interfaces. Files are read here; what needs
// the Workload API, and with it gRPC, is package client/workload.
//
// What it does not do: it judges no access token (that is the API's work, package
// resource), it checks no signature or chain of the workload's own SVIDs (that is the
// server's), it never passes on a token that the workload received itself, and it speaks the
// client credentials grant only.
//
// Sources: RFC 6749, 6750, 8414, 8705, 8707, 9449,
// draft-ietf-oauth-spiffe-client-auth and
// draft-ietf-oauth-attestation-based-client-auth. Rule ids are those of
// docs/requirements.md.
package client
