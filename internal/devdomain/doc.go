// Package devdomain is a development trust domain in one process, for a machine
// without SPIRE: an authority of internal/devca, a SPIFFE Workload API on a Unix
// socket that any SPIFFE client can use, and a bundle endpoint over TLS on
// loopback. SVIDs are issued anew at half of their life, keys on demand.
//
// The Workload API has all three profiles: X.509-SVID, JWT-SVID and, where the
// trust domain has keys for it, WIT-SVID. The bundle endpoint is one of the
// profile https_web (BE-19).
//
// What a real agent does and this does not: there is no attestation, so whoever
// may open the socket gets every identity of the domain, and the file mode 0600
// is all that guards it. Keys live in memory and are gone after Close. It is not
// for production.
//
// Sources: SPIFFE Workload Endpoint, SPIFFE Workload API, SPIFFE Federation
// (July 2026).
package devdomain
