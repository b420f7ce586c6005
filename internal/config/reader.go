package config

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// A reader collects what is wrong while the tables of a configuration are read.
// A value that is refused is read as its zero value or default, and reading goes
// on: one run reports every fault.
type reader struct {
	faults   Faults
	warnings Faults
	// certificates says that some listener asks for client certificates.
	certificates bool
	// read has the digest of each file that was read, by its absolute path.
	read map[string]string
	// guesses counts how often it was guessed what was meant.
	guesses int
}

func (r *reader) fault(at position, format string, args ...any) {
	r.faults = append(r.faults, at.fault(format, args...))
}

func (r *reader) warn(at position, format string, args ...any) {
	r.warnings = append(r.warnings, at.fault(format, args...))
}

// A table is an opened mapping: its keys are known ones, each there once.
type table struct {
	r       *reader
	opened  bool   // there was a mapping to open
	label   string // as messages name it, such as trust_domains.example.org.svid
	folder  string // to which relative paths are relative
	at      position
	members map[string]member
	subs    map[string]*table // opened once, so that each fault is reported once
	slips   map[string]bool   // keys that an unknown key most likely meant
}

// open reads a mapping by the keys of tables[place]. Missing keys are reported
// at the parent, which is where at points.
func (r *reader) open(place, label, folder string, at position, n *node) *table {
	t := &table{r: r, label: label, folder: folder, at: at, members: map[string]member{}, subs: map[string]*table{}, slips: map[string]bool{}}
	keys := tables[place]
	if n.kind != mapping {
		r.noTable(label, at, n, keys)
		return t
	}
	t.opened = true
	for _, m := range n.members {
		first, twice := t.members[m.name]
		switch {
		case !isKey(keys, m.name):
			t.unknown(m, keys)
		case twice:
			r.fault(m.at, "the key %s is written twice; the first is on line %d", quoted(m.name), first.at.line)
		default:
			t.members[m.name] = m
		}
	}
	for _, k := range keys {
		m, there := t.members[k.name]
		switch {
		case there && k.refused != "":
			r.fault(m.at, "%s %s", t.name(k.name), k.refused)
		case !there && k.required && !t.slips[k.name]: // a slip is one fault, not two
			r.fault(at, "the required key %s is missing", quoted(t.name(k.name)))
		}
	}
	return t
}

// noTable reports a value that ought to be a table of keys.
func (r *reader) noTable(label string, at position, n *node, keys []key) {
	if n.kind == null {
		r.fault(at, "%s has no value; its keys stand below it, indented by spaces", label)
		return
	}
	hint := ""
	var required []string
	for _, k := range keys {
		if k.required {
			required = append(required, k.name)
		}
	}
	if n.kind == text && len(required) == 1 { // the one thing that it can be meant for
		hint = "; write {" + required[0] + ": …}"
	}
	r.fault(n.at, "%s must be a table of keys, not %s%s", label, n.written(), hint)
}

// unknown reports a key that this table does not have, and says where to look
// instead: at a key that is spelt nearly so, or is called so and stands
// elsewhere.
func (t *table) unknown(m member, keys []key) {
	if strings.HasPrefix(m.name, "//") {
		t.r.fault(m.at, "a comment begins with #, not with //")
		return
	}
	if t.r.guesses++; t.r.guesses > maxGuesses {
		t.r.fault(m.at, "unknown key %s", quoted(m.name))
		return
	}
	if meant := nearest(m.name, names(keys)); meant != "" {
		t.slips[meant] = true
		t.r.fault(m.at, "unknown key %s; did you mean %s?", quoted(m.name), quoted(meant))
		return
	}
	if places := placesOf(m.name); len(places) > 0 {
		t.r.fault(m.at, "unknown key %s here; there is %s", quoted(m.name), strings.Join(places, ", "))
		return
	}
	t.r.fault(m.at, "unknown key %s; the keys here are %s", quoted(m.name), strings.Join(usable(keys), ", "))
}

// valuePlace is the place of a value; for one that is empty, that of its key.
func valuePlace(at position, n *node) position {
	if n.kind == null {
		return at
	}
	return n.at
}

// name is the key as messages and the manual spell it.
func (t *table) name(key string) string {
	if t.label == "" {
		return key
	}
	return t.label + "." + key
}

func (t *table) has(key string) bool {
	_, there := t.members[key]
	return there
}

// place is where a key's value stands, and the table's place when it does not.
func (t *table) place(key string) position {
	m, there := t.members[key]
	if !there {
		return t.at
	}
	return valuePlace(m.at, m.value)
}

// mustBe reports a value that is not what its key wants. hints end the sentence.
func (t *table) mustBe(key, want string, hints ...string) {
	m := t.members[key]
	if m.value.kind == null {
		t.r.fault(m.at, "%s has no value; it must be %s", t.name(key), want)
		return
	}
	if m.value.kind == text && (strings.Contains(m.value.text, "${") || strings.Contains(m.value.text, "{{")) {
		hints = []string{"; variables and templates are not expanded here"}
	}
	t.r.fault(m.value.at, "%s must be %s, not %s%s", t.name(key), want, m.value.written(), strings.Join(hints, ""))
}

// sub opens the table that stands under a key; an absent one is an empty table.
func (t *table) sub(place, key string) *table {
	if opened, done := t.subs[key]; done {
		return opened
	}
	s := &table{r: t.r, label: t.name(key), folder: t.folder, at: t.at, subs: map[string]*table{}}
	if m, there := t.members[key]; there {
		s = t.r.open(place, t.name(key), t.folder, m.at, m.value)
	}
	t.subs[key] = s
	return s
}

// text returns a key's text, and false when it is absent or another kind.
func (t *table) text(key, want string) (string, bool) {
	m, there := t.members[key]
	if !there {
		return "", false
	}
	if m.value.kind != text {
		t.mustBe(key, want)
		return "", false
	}
	return m.value.text, true
}

func (t *table) boolean(key string, otherwise bool) bool {
	m, there := t.members[key]
	if !there {
		return otherwise
	}
	if m.value.kind != boolean || !slices.Contains([]string{"true", "false"}, m.value.text) {
		t.mustBe(key, "true or false")
		return otherwise
	}
	return m.value.text == "true"
}

// oneOf returns a key's text, which must be one of the allowed. It is a function
// because methods have no type parameters.
func oneOf[T ~string](t *table, key string, otherwise T, allowed ...T) T {
	all := make([]string, len(allowed))
	for i, a := range allowed {
		all[i] = string(a)
	}
	want := strings.Join(all, ", ")
	if i := len(all) - 1; i > 0 {
		want = strings.Join(all[:i], ", ") + " or " + all[i]
	}
	s, ok := t.text(key, want)
	if !ok {
		return otherwise
	}
	if !slices.Contains(allowed, T(s)) {
		t.mustBe(key, want, t.r.meant(s, all))
		return otherwise
	}
	return T(s)
}

// path returns the absolute form of the file a key names.
func (t *table) path(key, otherwise string) string {
	s, ok := t.text(key, "the name of a file")
	switch {
	case ok && badPath(s):
		t.mustBe(key, "the name of a file")
		return ""
	case !ok && otherwise == "":
		return ""
	case !ok:
		s = otherwise
	}
	return absolute(t.folder, s)
}

// folderPath returns the absolute form of the folder a key names.
func (t *table) folderPath(key, otherwise string) string {
	s, ok := t.text(key, "the name of a folder")
	if !ok {
		return absolute(t.folder, otherwise)
	}
	plain := strings.TrimRight(s, "/")
	if badPath(plain) {
		t.mustBe(key, "the name of a folder")
		return ""
	}
	return absolute(t.folder, plain)
}

func badPath(s string) bool {
	return s == "" || strings.HasSuffix(s, "/") || strings.ContainsFunc(s, func(r rune) bool { return r < 0x20 || r == 0x7f })
}

func absolute(folder, path string) string {
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(folder, path)
}

// An entry is one text of a list.
type entry struct {
	text string
	at   position
}

// list returns the texts of a list, none of them twice.
func (t *table) list(key, of string) []entry {
	m, there := t.members[key]
	if !there {
		return nil
	}
	if m.value.kind != list {
		hint := ""
		if m.value.kind == text {
			hint = "; put it in brackets: [ ]"
		}
		t.mustBe(key, "a list of "+of, hint)
		return nil
	}
	var entries []entry
	for i, item := range m.value.items {
		name := fmt.Sprintf("%s[%d]", t.name(key), i)
		switch {
		case item.kind != text:
			t.r.fault(item.at, "%s must be a text, not %s", name, item.written())
		case slices.ContainsFunc(entries, func(e entry) bool { return e.text == item.text }):
			t.r.fault(item.at, "%s names %s a second time", t.name(key), quoted(item.text))
		default:
			entries = append(entries, entry{item.text, item.at})
		}
	}
	return entries
}

// each calls read for every table of a list of tables.
func (t *table) each(key string, read func(*table)) { t.eachOf(key, key+"[]", read) }

// eachOf does so for a list that stands within another table, at place.
func (t *table) eachOf(key, place string, read func(*table)) {
	m, there := t.members[key]
	if !there {
		return
	}
	if m.value.kind != list {
		hint := ""
		if m.value.kind == mapping {
			hint = "; begin each entry with a dash"
		}
		t.mustBe(key, "a list of tables", hint)
		return
	}
	for _, item := range m.value.items {
		read(t.r.open(place, place, t.folder, item.at, item))
	}
}
