// Package resource is for the owner of an API: it verifies the access tokens
// that callers present, on the spot and without asking anybody.
//
// A [Verifier] judges JWT access tokens (RFC 9068) by one ordered list of rules:
// what was sent, its kind, issuer, key and signature, audience, times and
// claims, whether it is bound to the certificate of this connection (RFC 8705) or
// to the key of a DPoP proof made for this request (RFC 9449), and its scopes.
// [Verifier.Require] is the same as net/http middleware and answers refusals with
// the challenges of RFC 6750 and RFC 9449. [Verifier.Explain] walks the same list
// to its end for an operator.
//
// Keys come from a [KeySource]: [RemoteKeys] keeps those of an authorization
// server fresh in the background, [StaticKeys] holds a document. Nothing on the
// way of a request with a known key waits or touches the network. A token that was
// accepted before costs a hash of it and the rules: see [Verifier.Remembered].
//
// What the package does not do: it accepts no token outside the Authorization
// header, no opaque token and no SVID (RS-2); it does not validate the chain of
// a client certificate, which proves possession of a key here and no identity
// (RS-4); it asks no one whether a token was revoked; it reads no forwarded
// certificates; two processes know nothing of each other's proofs, and a DPoP nonce is
// asked for only in the first ten seconds of one (DP-6).
//
// Documents: RFC 6750, RFC 7517, RFC 8414, RFC 8705, RFC 8725, RFC 9068, RFC 9449.
package resource
