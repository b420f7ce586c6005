// Package introspection says what a token is worth right now: to the owner of an API
// that asks about the tokens of its callers (RFC 7662), and to the revocation
// endpoint.
//
// [Tokens] tells whether an access token is one of ours and has not ended. An
// [Introspector] goes on from there: whether the client that asks may know of it
// (IN-2, IN-6), and whether it was revoked or its client blocked. Whose token it is
// comes before whether it was revoked, so that nobody learns from answers, or from
// how long they take, what became of a token that is another's (AK-28). For the same
// reason what is remembered for one client is of no use to another.
//
// Refusals are the reasons why a token is not active; the client that asks is told
// nothing of them.
package introspection
