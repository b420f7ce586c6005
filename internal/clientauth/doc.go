// Package clientauth is the one piece of code by which every endpoint
// authenticates a client (CA-11): it finds the claimed client, has the
// credential judged by the verifier, ties the proven identity to the client, sees
// to it that a proof is used once, and decides whether a certificate on the connection may bind tokens.
//
// Authenticate stops at the first refusal; Explain walks the same lists of rules
// to their end, and leaves no trace.
//
// It says who is calling, not what the caller may have.
package clientauth
