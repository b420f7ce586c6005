package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
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

// A mutant is the product with switches in it. The tree itself is not touched: the
// compiler is told to read other files in the place of those that changed.
type mutant struct {
	root, dir string
	overlay   string // the list that the compiler reads
}

func newMutant(t *tree, f *found) (m *mutant, err error) {
	dir, err := os.MkdirTemp("", "svidgate-mutate-")
	if err != nil {
		return nil, err
	}
	m = &mutant{root: t.root, dir: dir, overlay: filepath.Join(dir, "overlay.json")}
	defer func() {
		if err != nil {
			m.remove()
		}
	}()
	overlay := struct{ Replace map[string]string }{map[string]string{}}
	put := func(path string, text []byte) error {
		name := filepath.Join(dir, fmt.Sprintf("%d.go", len(overlay.Replace)))
		overlay.Replace[filepath.Join(t.root, filepath.FromSlash(path))] = name
		return os.WriteFile(name, text, 0o600)
	}
	for file, edits := range f.edits {
		if err := put(file.path, t.rewrite(file, edits)); err != nil {
			return nil, err
		}
	}
	if err := put(switchPath+"/switch.go", []byte(switchText)); err != nil {
		return nil, err
	}
	text, err := json.Marshal(overlay)
	if err != nil {
		return nil, err
	}
	return m, os.WriteFile(m.overlay, text, 0o600)
}

func (m *mutant) remove() { os.RemoveAll(m.dir) }

// compile builds the tests of a package against the copy.
func (m *mutant) compile(ctx context.Context, pkg string) (binary string, err error) {
	binary = filepath.Join(m.dir, strings.ReplaceAll(pkg, "/", "-")+".test")
	cmd := exec.CommandContext(ctx, "go", "test", "-c", "-vet", "off", "-overlay", m.overlay, "-o", binary, "./"+pkg)
	cmd.Dir = m.root
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("the tests of %s do not compile against the copy: %w", pkg, err)
	}
	return binary, nil
}
