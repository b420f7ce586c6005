package main

// An exitCode is an error that ends the program with a code of its own.
type exitCode struct {
	code int
	err  error
}

func (e exitCode) Error() string { return e.err.Error() }

func (e exitCode) Unwrap() error { return e.err }
