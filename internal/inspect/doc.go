// Package inspect says what a document of this field is and what it says: a
// JWT-SVID, a WIT-SVID, an access token or any other JWT, certificates, a SPIFFE
// bundle, a JWK Set, and the metadata of RFC 8414 and RFC 9728.
//
// It verifies nothing. No signature and no chain is checked and no key is looked
// up, so whatever it shows is what the document says of itself. Remarks on what is
// odd come from the rules by which the server and the APIs judge, as far as a rule
// needs neither a trust bundle nor a configuration; what it does not remark on may
// be refused all the same. Package svidgate and package resource decide.
//
// Signatures are left out and private keys are refused unseen. All text is fit to
// print: see oauth.Shown. The package reads no file and knows no clock.
package inspect
