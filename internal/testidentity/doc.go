// Package testidentity gives the tests of the pipeline's stages what only the
// stages before them can make: parsed requests, proven identities, registered
// and authenticated callers. Nothing in it is faked: an authority made for the
// test signs, the verifier judges, and each value comes out of the stage that
// owns it.
//
// It is for tests only and has nothing to test of its own. Clock and trust
// domains are fixed, so that a test can be read without looking here.
package testidentity
