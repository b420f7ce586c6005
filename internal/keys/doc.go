// Package keys holds the signing keys of a server through their whole life
// (KR-2): a key is made and published as pending, becomes active once every copy
// of the JWK Set has it, stays published as retiring until the last token it
// signed has expired, and is removed.
//
// The keys are in a file that only its owner can read, or, encrypted, in a document of
// the store. A change is there before anybody sees it, and processes that share the
// place and the configuration take over each other's changes. The package signs
// nothing and knows no token.
//
// Rules KR-1 to KR-4 and the seam of KR-5 of docs/requirements.md, F11 of the
// field failures; RFC 7517, RFC 7638, RFC 5208 (PKCS #8).
package keys
