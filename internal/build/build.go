package build

import (
	"cmp"
	"runtime/debug"
)

// Info is what is known of a build.
type Info struct {
	Version  string // of the main module, "unknown" without one
	Revision string // of the source, empty where it was built outside a checkout
	Modified bool   // the checkout had changes
}

// Read is the build of the program that runs.
func Read() Info {
	i := Info{Version: "unknown"}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return i
	}
	i.Version = cmp.Or(info.Main.Version, i.Version)
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			i.Revision = s.Value
		case "vcs.modified":
			i.Modified = s.Value == "true"
		}
	}
	return i
}
