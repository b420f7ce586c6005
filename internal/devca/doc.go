// Package devca is a SPIFFE certificate authority for the development trust
// domain and for the tests of this module. An [Authority] makes X.509-SVIDs,
// JWT-SVIDs and WIT-SVIDs, publishes the bundle that verifies them and rotates
// its keys. A [ServerCA] stands in for the Web PKI on loopback.
//
// What it makes by default obeys X509-SVID, JWT-SVID, WIT-SVID and the bundle
// format of SPIFFE Trust Domain and Bundle. Tests need credentials that break
// exactly one rule, so every maker takes functions that change what is about to
// be signed. Nothing is checked after them: a defective credential comes out
// truly signed.
//
// Keys live in memory only and there is no revocation, no node attestation and
// no limit on who asks. It is no authority for production; run SPIRE there.
package devca
