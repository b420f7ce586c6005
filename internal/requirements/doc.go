// Package requirements holds docs/requirements.md to the code: every rule has a
// row, every row that claims to be built names code and tests that exist and leads
// to where its id stands, and every rule that code refuses by is in the table. It
// also bans what would switch a check off without any rule noticing (AV-11).
//
// There is nothing to import here. What the tests cannot see is whether a row is
// true: that the named code does what the sentence says is for whoever reads it.
package requirements
