// Package credential reads what somebody holds in a file or has copied from
// somewhere: one JWT with what is often copied around it, or certificates in PEM
// or DER form. It says what it passed over, and refuses whatever has a private
// key in it, without repeating any of it.
//
// It judges nothing: what it returns as a JWT may be none. It opens no file.
package credential
