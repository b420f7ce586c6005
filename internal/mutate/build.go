package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

const switchPath = "internal/" + switchName

// switchText is the package that the copy imports. It has a place in memory
// only, below the module, and never a folder in the tree.
const switchText = `package mutationswitch

import (
	"os"
	"strconv"
	"strings"
)

var off = map[int]bool{}

func init() {
	for s := range strings.SplitSeq(os.Getenv("SVIDGATE_OFF"), ",") {
		if n, err := strconv.Atoi(s); err == nil {
			off[n] = true
		}
	}
}

func Off(n int) bool { return off[n] }

func Wrap[A, R any](n int, f func(A) R) func(A) R {
	return func(a A) R {
		if off[n] {
			return *new(R)
		}
		return f(a)
	}
}
`

// build compiles the tests of the vectors against the product with switches in
// it. The tree itself is not touched: the compiler is told to read other files in
// the place of those that changed.
func build(ctx context.Context, t *tree, f *found) (binary string, remove func(), err error) {
	dir, err := os.MkdirTemp("", "svidgate-mutate-")
	if err != nil {
		return "", nil, err
	}
	defer func() {
		if err != nil {
			os.RemoveAll(dir)
		}
	}()
	overlay := struct{ Replace map[string]string }{map[string]string{}}
	put := func(path string, text []byte) error {
		copied := filepath.Join(dir, fmt.Sprintf("%d.go", len(overlay.Replace)))
		overlay.Replace[filepath.Join(t.root, filepath.FromSlash(path))] = copied
		return os.WriteFile(copied, text, 0o600)
	}
	for file, edits := range f.edits {
		if err := put(file.path, t.rewrite(file, edits)); err != nil {
			return "", nil, err
		}
	}
	if err := put(switchPath+"/switch.go", []byte(switchText)); err != nil {
		return "", nil, err
	}
	text, err := json.Marshal(overlay)
	if err != nil {
		return "", nil, err
	}
	list := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(list, text, 0o600); err != nil {
		return "", nil, err
	}
	binary = filepath.Join(dir, "vectors.test")
	cmd := exec.CommandContext(ctx, "go", "test", "-c", "-vet", "off", "-overlay", list, "-o", binary, "./"+runner)
	cmd.Dir = t.root
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		return "", nil, fmt.Errorf("the copy does not compile: %w", err)
	}
	return binary, func() { os.RemoveAll(dir) }, nil
}
