// Package oauth is the vocabulary every other package speaks: error codes and
// the one [Error] type, reason codes, parameter, grant and method names, and
// the documents that go over the wire.
//
// It holds words, not behaviour: nothing here reads a request, looks anything
// up or writes a response. It imports nothing of this module, so that any
// package may import it.
//
// Names and values are those of RFC 6749, RFC 7521, RFC 8414, RFC 8693,
// RFC 8705, RFC 9068 and draft-ietf-oauth-spiffe-client-auth.
package oauth
