package main

import (
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"github.com/svidgate/svidgate/internal/admin"
	"github.com/svidgate/svidgate/internal/inspect"
	"github.com/svidgate/svidgate/internal/keys"
	"github.com/svidgate/svidgate/internal/login"
	"github.com/svidgate/svidgate/internal/store/sqlite"
)

// The manual of --json has each command that takes it, and each member of what it prints.
func TestManualOfJSON(t *testing.T) {
	text, err := os.ReadFile("../../docs/json.md")
	if err != nil {
		t.Fatal(err)
	}
	manual := string(text)
	n := 0
	for _, c := range every(newRoot()) {
		c.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if f.Name != "json" {
				return
			}
			n++
			if name := strings.Join(words(c), " "); !strings.Contains(manual, "`"+name+"`") {
				t.Errorf("%s --json is not in the manual", name)
			}
		})
	}
	if n < 25 {
		t.Errorf("only %d commands", n)
	}
	for _, v := range []any{
		admin.Bundle{}, admin.Difference{}, keys.Key{}, keys.Change{}, admin.ClientPage{}, admin.ClientSight{}, admin.Plan{}, admin.Revocation{},
		admin.User{}, admin.Consent{}, login.Ended{}, sqlite.Schema{}, inspect.Report{}, developer{}, diagnosis{}, identity{}, version{},
	} {
		for _, name := range members(reflect.TypeOf(v)) {
			if !strings.Contains(manual, "`"+name+"`") {
				t.Errorf("%T: %s is not in the manual", v, name)
			}
		}
	}
}

// members are the names of all members of a type in JSON, those of its parts too.
func members(of reflect.Type) (names []string) {
	switch of.Kind() {
	case reflect.Pointer, reflect.Slice:
		return members(of.Elem())
	case reflect.Struct:
		for i := range of.NumField() {
			field := of.Field(i)
			if name, _, _ := strings.Cut(field.Tag.Get("json"), ","); name != "" && name != "-" {
				names = append(names, name)
			}
			names = append(names, members(field.Type)...)
		}
	}
	return names
}
