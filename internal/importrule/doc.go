// Package importrule holds the architecture as a test: which package may import
// which, and what the light libraries must never link. There is nothing to
// import here.
package importrule
