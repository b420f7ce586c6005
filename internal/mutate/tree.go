package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// runner is the package whose tests run the vectors. The product packages that
// it reaches are those that are searched for rules.
const runner = "internal/vectors"

// A tree is the module as its files are now.
type tree struct {
	root, module string
	packages     []*goPackage
	fset         *token.FileSet
}

type goPackage struct {
	files []*goFile
}

type goFile struct {
	path   string // from the module's root
	text   []byte
	syntax *ast.File
}

// findTree asks the go command for the module around the working directory.
func findTree(ctx context.Context) (*tree, error) {
	type listed struct {
		ImportPath, Dir, ForTest string
		GoFiles                  []string
		Module                   *struct{ Path, Dir string }
	}
	cmd := exec.CommandContext(ctx, "go", "list", "-deps", "-test", "-json=ImportPath,Dir,ForTest,GoFiles,Module", "./"+runner)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list, from the module's root: %w", err)
	}
	t := &tree{fset: token.NewFileSet()}
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, err
		}
		if p.Module == nil || !strings.HasPrefix(p.ImportPath, "github.com/svidgate/svidgate") {
			continue
		}
		t.root, t.module = p.Module.Dir, p.Module.Path
		if strings.HasPrefix(strings.TrimPrefix(p.ImportPath, t.module+"/"), runner) {
			continue
		}
		pkg := &goPackage{}
		for _, name := range p.GoFiles {
			path := filepath.Join(p.Dir, name)
			text, err := os.ReadFile(path)
			if err != nil {
				return nil, err
			}
			syntax, err := parser.ParseFile(t.fset, path, text, parser.ParseComments|parser.SkipObjectResolution)
			if err != nil {
				return nil, err
			}
			relative, err := filepath.Rel(t.root, path)
			if err != nil {
				return nil, err
			}
			pkg.files = append(pkg.files, &goFile{filepath.ToSlash(relative), text, syntax})
		}
		t.packages = append(t.packages, pkg)
	}
	if t.root == "" {
		return nil, errors.New("no package of the module was found")
	}
	return t, nil
}

func (t *tree) offset(p token.Pos) int { return t.fset.Position(p).Offset }
func (t *tree) line(p token.Pos) int   { return t.fset.Position(p).Line }
