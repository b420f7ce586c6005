package config

import (
	"fmt"
	"path/filepath"

	"github.com/svidgate/svidgate/internal/regularfile"
)

// Load reads the file at path. The error is a Faults when the file was read and
// is wrong, and wraps the cause when it could not be read.
func Load(path string) (*Config, error) {
	data, err := readFile(path)
	if err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	return Parse(path, data)
}

// Parse reads data as the content of the file at path, which need not exist:
// its name stands in faults and its folder is where relative paths begin. The
// error is a Faults, unless the working directory cannot be found.
func Parse(path string, data []byte) (*Config, error) {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	r := &reader{read: map[string]string{absolute: digestOf(data, nil)}}
	var cfg *Config
	root, faults := parseYAML(path, data)
	if faults == nil {
		cfg = r.config(path, absolute, root)
	}
	if faults = append(faults, r.faults...); len(faults) > 0 {
		return nil, faults.sorted()
	}
	cfg.Warnings = r.warnings.sorted()
	cfg.rememberFiles(r.read)
	return cfg, nil
}

// readFile reads a regular file of at most maxFile bytes and one; the size is
// judged by parseYAML.
func readFile(path string) ([]byte, error) { return regularfile.Read(path, maxFile+1) }
