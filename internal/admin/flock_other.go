//go:build !unix

package admin

import "os"

func flock(*os.File) error { return nil }
