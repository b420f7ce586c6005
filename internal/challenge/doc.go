// Package challenge makes and checks the challenges that a WIT-SVID's proof may
// have to repeat (PP-12, PP-13). A challenge is a MAC over a slot of time, so that
// nothing is kept of those that were given: whoever has the key can check them. It
// is good for any number of proofs, since a proof is used once.
package challenge
