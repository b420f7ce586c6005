// Package strictjson reads JSON objects that a stranger sent, by the strict
// rules of GL-11 and JS-20: UTF-8 only, no member name twice at any depth, no
// data after the value, nesting at most 16 deep, names compared byte for byte.
//
// It neither allocates per value nor uses reflection; a value is a slice of the
// input, decoded when asked for. The standard decoder folds the case of names
// and keeps the last of two equal members, so it must not read what is signed.
package strictjson
