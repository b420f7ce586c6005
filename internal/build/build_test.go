package build

import (
	"runtime/debug"
	"testing"
)

func TestRead(t *testing.T) {
	got := Read()
	if got.Version == "" {
		t.Error("there is no version")
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && got.Version != info.Main.Version {
		t.Errorf("%q, want %q", got.Version, info.Main.Version)
	}
}
