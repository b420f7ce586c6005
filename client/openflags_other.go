//go:build !unix

package client

const openFlags = 0
