package e2e

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
)

// window is how many bytes of a secret, in a row, are a leak.
const window = 16

// A vault has every credential that this run made: of JWTs payload and
// signature, of keys the whole, of passwords the whole.
type vault struct {
	mu    sync.Mutex
	kinds map[string]string // by secret
}

func (v *vault) add(kind, secret string) string {
	if len(secret) < window {
		panic("too short to be found: " + kind)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.kinds == nil {
		v.kinds = map[string]string{}
	}
	v.kinds[secret] = kind
	return secret
}

// jwt adds what is secret of a JWT, and returns it. Its header is not.
func (v *vault) jwt(token string) string {
	parts := strings.Split(token, ".")
	for i, kind := range []string{"payload of a JWT", "signature of a JWT"} {
		if len(parts) > i+1 && len(parts[i+1]) >= window {
			v.add(kind, parts[i+1])
		}
	}
	return token
}

func (v *vault) scanner() *scanner {
	v.mu.Lock()
	defer v.mu.Unlock()
	s := &scanner{grams: map[uint64][]gram{}}
	for secret, kind := range v.kinds {
		s.learn(kind, secret)
	}
	return s
}

// A pile has everything that the programs of this run put out.
type pile struct {
	mu       sync.Mutex
	exhibits []exhibit
}

type exhibit struct {
	name string
	data []byte
}

func (p *pile) add(name string, data []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.exhibits = append(p.exhibits, exhibit{name, data})
}

// A scanner finds windows of secrets in any of their forms.
type scanner struct {
	secrets int
	texts   []written
	grams   map[uint64][]gram
}

// written is a secret in one form.
type written struct{ kind, form, text string }

// A gram is where eight bytes stand: any window has eight bytes in it that begin
// at a multiple of eight.
type gram struct{ text, at int32 }

const gramLen = window / 2

func (s *scanner) learn(kind, secret string) {
	s.secrets++
	var known []string
	for _, w := range formsOf(kind, secret) {
		if len(w.text) < window || slices.Contains(known, w.text) {
			continue
		}
		known = append(known, w.text)
		for at := 0; at+gramLen <= len(w.text); at += gramLen {
			key := binary.BigEndian.Uint64([]byte(w.text[at:]))
			s.grams[key] = append(s.grams[key], gram{int32(len(s.texts)), int32(at)})
		}
		s.texts = append(s.texts, w)
	}
}

// formsOf are the ways in which a program may write a secret down.
func formsOf(kind, secret string) []written {
	var forms []written
	add := func(form, text string) { forms = append(forms, written{kind, form, text}) }
	add("as it is", secret)
	add("in lower case", strings.ToLower(secret))
	add("in upper case", strings.ToUpper(secret))
	add("URL-escaped", url.QueryEscape(secret))
	add("URL-escaped twice", url.QueryEscape(url.QueryEscape(secret)))
	add("path-escaped", url.PathEscape(secret))
	once := jsonEscaped(secret)
	add("JSON-escaped", once)
	add("JSON-escaped twice", jsonEscaped(once))
	add("quoted by Go", strings.Trim(fmt.Sprintf("%q", secret), `"`))
	add("in hex", hex.EncodeToString([]byte(secret)))
	add("in upper-case hex", strings.ToUpper(hex.EncodeToString([]byte(secret))))
	backwards := []byte(secret)
	slices.Reverse(backwards)
	add("backwards", string(backwards))
	for skip := range 3 { // wherever in the encoded text the secret begins
		whole := secret[skip:]
		whole = whole[:len(whole)/3*3]
		add(fmt.Sprintf("in base64 from byte %d", skip), base64.RawStdEncoding.EncodeToString([]byte(whole)))
		add(fmt.Sprintf("in base64url from byte %d", skip), base64.RawURLEncoding.EncodeToString([]byte(whole)))
	}
	return forms
}

func jsonEscaped(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err) // a string always encodes
	}
	return string(b[1 : len(b)-1])
}

// A leak is a window that was found. It does not repeat the secret.
type leak struct {
	where      string
	at, length int
	written
}

func (l leak) String() string {
	return fmt.Sprintf("AU-2 %s has %d bytes of a %s, %s, at byte %d", l.where, l.length, l.kind, l.form, l.at)
}

// scan finds the first leak of each secret's form in a text, and of those that
// overlap, as credentials with a common beginning do, the longest.
func (s *scanner) scan(e exhibit) []leak {
	var leaks []leak
	add := func(l leak) {
		if last := len(leaks) - 1; last >= 0 && l.at < leaks[last].at+leaks[last].length {
			if l.length > leaks[last].length {
				leaks[last] = l
			}
			return
		}
		leaks = append(leaks, l)
	}
	found := map[int32]bool{}
	for at := 0; at+gramLen <= len(e.data); at++ {
		for _, g := range s.grams[binary.BigEndian.Uint64(e.data[at:])] {
			if found[g.text] {
				continue
			}
			w := s.texts[g.text]
			before := commonSuffix(e.data[:at], w.text[:g.at])
			length := before + commonPrefix(e.data[at:], w.text[g.at:])
			if length >= window {
				found[g.text] = true
				add(leak{e.name, at - before, length, w})
			}
		}
	}
	return leaks
}

func commonPrefix(a []byte, b string) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

func commonSuffix(a []byte, b string) int {
	n := 0
	for n < len(a) && n < len(b) && a[len(a)-1-n] == b[len(b)-1-n] {
		n++
	}
	return n
}

// search looks through the whole pile.
func (p *pile) search(s *scanner) (leaks []leak, bytes int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range p.exhibits {
		bytes += len(e.data)
		leaks = append(leaks, s.scan(e)...)
	}
	return leaks, bytes
}

// afterwards is what can be said only when all tests are done.
func afterwards() []string {
	var problems []string
	s := secrets.scanner()
	leaks, bytes := evidence.search(s)
	fmt.Printf("e2e: %d bytes of output searched for %d secrets in %d forms: %d found\n", bytes, s.secrets, len(s.texts), len(leaks))
	for _, l := range leaks {
		problems = append(problems, l.String())
	}
	if everything() {
		for _, reason := range seen.unseen(notHere) {
			problems = append(problems, "no test was refused for the reason "+reason)
		}
	}
	return problems
}

// everything reports whether all tests were asked for.
func everything() bool {
	for _, name := range []string{"test.run", "test.skip", "test.list", "test.bench"} {
		if f := flag.Lookup(name); f != nil && f.Value.String() != "" {
			return false
		}
	}
	return true
}
