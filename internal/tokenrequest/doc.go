// Package tokenrequest is the first stage: it turns an HTTP request to a form
// endpoint into a [Request] whose shape is known to be sound. It bounds the
// body, reads parameters from the body only, refuses repeats, and finds out
// which one way of client authentication was used.
//
// It judges no credential and looks no client up. Rules GL-2 to GL-5, GL-8,
// TK-1, TK-3, CA-5, CA-13, CA-15, CJ-1 to CJ-3, PP-1 and PP-14 live here (RFC 6749 sections
// 2.3 and 3.2, RFC 7521 section 4.2).
package tokenrequest
