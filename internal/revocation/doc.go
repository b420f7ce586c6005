// Package revocation knows what was revoked: single access tokens, and all that was
// issued up to a moment to a client, a workload or part of a trust domain, or by a
// signing key. What a person granted is revoked in its own record; see package
// authorization.
//
// The store is the truth, so that several processes and the next start know the
// same. Each process holds a copy of all of it in memory, so that a question costs
// no more than a few look-ups: what this process revokes is in its copy before
// [List.Revoke] returns, what another one revokes is there within a second. A copy
// that could not be compared with the store for longer than [MaxAge] answers no more
// (GL-15): who asks is told that the store is unavailable, never that a token is
// good.
//
// Nobody asks here while a token is issued to a client that authenticates anew: who
// must get no new tokens is blocked, or taken out of the configuration.
package revocation
