// Package vectors runs the files in testdata/vectors against this
// implementation. There is nothing to import here: the tests read the files and
// nothing else, as any other implementation could.
//
// The files are written by the same tests with the flag -update, from keys that
// are derived from their names, so that one changed vector changes no other.
package vectors
