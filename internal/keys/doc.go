// Package keys holds the signing keys of one node: it makes the first key, keeps
// them in a file that only its owner can read, hands out the [Signer] of the
// active one and publishes the public halves as a JWK Set.
//
// It signs nothing and knows no token. Rotation is not here yet; the file's
// format has a state for each key so that it can come without a new format.
// Several nodes that share keys keep them in the store, not in this file.
//
// Rules KR-1, KR-4 and the seam of KR-5 of docs/requirements.md; RFC 7517,
// RFC 7638, RFC 5208 (PKCS #8).
package keys
