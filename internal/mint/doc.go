// Package mint makes access tokens: the claims of RFC 9068 with the confirmation
// of RFC 8705 section 3.1 or RFC 9449 section 6.1, and one signing call. It decides nothing; it writes
// down what was authorized and decided (rules AT-1 to AT-6, MT-1, MT-4, DP-4, CC-3).
package mint
