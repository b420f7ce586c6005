// Package explain says to an operator why a credential is refused, or would not
// be: it reads the credential, lays out what the server's own rules found, looks
// for the configured name that is nearest to the one presented, and chooses the
// next thing to do.
//
// It judges nothing: the findings are those of the lists that the server walks
// (internal/clientauth). It opens no file and asks nobody, so what it says is a
// function of its arguments. No signature, token or key is in what it returns.
package explain
