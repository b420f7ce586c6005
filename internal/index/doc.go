// Package index finds texts, such as client identifiers, among very many. What it
// keeps has hardly a pointer in it, so that the garbage collector, which looks at
// every pointer of a process again and again, does not feel how many texts there
// are: with a map of strings to pointers, requests wait longer the more clients are
// registered.
package index
