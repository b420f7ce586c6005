// Package svidgate decides whether an SVID shown to an OAuth authorization
// server proves who the client is. It is the part of Svidgate that any
// authorization server written in Go can take alone.
//
// A [Verifier] judges a JWT-SVID or an X.509-SVID by an ordered list of rules,
// each with the id under which docs/requirements.md lists it. Verifying stops at
// the first rule that refuses; explaining walks the same list to its end and
// says of every rule what it expected and what was presented.
//
// What comes out is an [Identity]: a concrete SPIFFE ID, proven. The package
// does not look up clients, judge scopes or remember assertions; its callers do.
//
// Implemented: SPIFFE-ID, JWT-SVID and X509-SVID (July 2026), and the client
// authentication of draft-ietf-oauth-spiffe-client-auth in four profiles (see
// [Profile]). WIT-SVID comes later.
package svidgate
