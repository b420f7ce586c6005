package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/svidgate/svidgate/internal/audit"
)

// AU-3: the command finds a changed line, and passes a whole record.
func TestAuditVerify(t *testing.T) {
	file := filepath.Join(t.TempDir(), "audit.jsonl")
	log, err := audit.Open(audit.Config{File: file})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := log.Record(context.Background(), audit.Event{Event: audit.EventToken, Outcome: audit.Granted, ClientID: "billing"}); err != nil {
			t.Fatal(err)
		}
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.Replace(string(whole), "billing", "Billing", 1)
	for _, row := range []struct {
		name, record, says string
		json, ok           bool
	}{
		{"whole", string(whole), "3 lines, whole", false, true},
		{"whole, as JSON", string(whole), `"whole":true`, true, true},
		{"one letter changed", changed, "line 1", false, false},
		{"one letter changed, as JSON", changed, `"bad_line":1`, true, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			var out bytes.Buffer
			root := newRoot()
			args := []string{"audit", "verify", "-"}
			if row.json {
				args = append(args, "--json")
			}
			root.SetArgs(args)
			root.SetIn(strings.NewReader(row.record))
			root.SetOut(&out)
			root.SetErr(&out)
			err := root.Execute()
			said := out.String()
			if err != nil {
				said += err.Error()
			}
			if (err == nil) != row.ok || !strings.Contains(said, row.says) {
				t.Errorf("%v: %s", err, said)
			}
			if row.json && !json.Valid(out.Bytes()) {
				t.Errorf("no JSON: %s", out.String())
			}
		})
	}
}
