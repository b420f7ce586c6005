package tokenrequest

import (
	"bytes"
	"errors"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/svidgate/svidgate/oauth"
)

const formType = "application/x-www-form-urlencoded"

// A form is the parameters of a body in the order in which they came. It is read
// as url.ParseQuery reads it, without a map: a token request has four or five.
type form []parameter

type parameter struct{ name, value string }

// get is the first value of a parameter; one that is empty counts as absent
// (GL-5).
func (f form) get(name string) string {
	for i := range f {
		if f[i].name == name {
			return f[i].value
		}
	}
	return ""
}

// all are the values of a parameter that are not empty.
func (f form) all(name string) []string {
	var values []string
	for i := range f {
		if f[i].name == name && f[i].value != "" {
			values = append(values, f[i].value)
		}
	}
	return values
}

// only are the parameters with one of these names that are not empty.
func (f form) only(names []string) form {
	var kept form
	for i := range f {
		if f[i].value != "" && slices.Contains(names, f[i].name) {
			kept = append(kept, f[i])
		}
	}
	return kept
}

var errMalformed = errors.New("malformed")

// maxParameters is where the standard library stops as well.
const maxParameters = 10_000

// parseForm takes a body apart (GL-2). The error says nothing of the input.
func parseForm(body string) (form, error) {
	if strings.Count(body, "&") >= maxParameters {
		return nil, errMalformed
	}
	f := make(form, 0, 8)
	for body != "" {
		var pair string
		pair, body, _ = strings.Cut(body, "&")
		if strings.Contains(pair, ";") {
			return nil, errMalformed
		}
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		name, err := url.QueryUnescape(name)
		if err != nil {
			return nil, errMalformed
		}
		if value, err = url.QueryUnescape(value); err != nil {
			return nil, errMalformed
		}
		f = append(f, parameter{name, value})
	}
	return f, nil
}

// fewParameters are compared each with each; more are sorted, or a body full of
// them would take seconds (GL-8).
const fewParameters = 16

// repeated is the parameter, first by name, that stands more than once and may
// not (GL-4), and how often it does.
func (f form) repeated() (name string, times int) {
	if len(f) <= fewParameters {
		for i := range f {
			if slices.ContainsFunc(f[:i], func(p parameter) bool { return p.name == f[i].name }) && !slices.Contains(repeatable, f[i].name) && (times == 0 || f[i].name < name) {
				name, times = f[i].name, f.count(f[i].name)
			}
		}
		return name, times
	}
	sorted := slices.Clone(f)
	slices.SortFunc(sorted, func(a, b parameter) int { return strings.Compare(a.name, b.name) })
	for i := 1; i < len(sorted); i++ {
		if sorted[i].name == sorted[i-1].name && !slices.Contains(repeatable, sorted[i].name) {
			return sorted[i].name, f.count(sorted[i].name)
		}
	}
	return "", 0
}

func (f form) count(name string) int {
	n := 0
	for i := range f {
		if f[i].name == name {
			n++
		}
	}
	return n
}

// notUTF8 is the parameter, first by name, with other bytes in it.
func (f form) notUTF8() (name string, found bool) {
	for _, p := range f {
		if !(utf8.ValidString(p.name) && utf8.ValidString(p.value)) && (!found || p.name < name) {
			name, found = p.name, true
		}
	}
	return name, found
}

func readForm(w http.ResponseWriter, r *http.Request) (form, error) {
	if err := checkContentType(r.Header["Content-Type"]); err != nil {
		return nil, err
	}
	if r.URL.RawQuery != "" {
		query, err := url.ParseQuery(r.URL.RawQuery)
		if err != nil {
			return nil, malformed("GL-3", "no query", "a malformed query")
		}
		for _, name := range protocolParameters {
			if query.Has(name) {
				return nil, malformed("GL-3", "parameters in the body only", name+" in the query")
			}
		}
	}
	body, err := readBody(w, r)
	if err != nil {
		return nil, err
	}
	f, err := parseForm(body)
	if err != nil { // the error would repeat input
		return nil, malformed("GL-2", "name=value pairs in percent-encoding", "a malformed body")
	}
	if name, found := f.notUTF8(); found {
		return nil, malformed("GL-2", "UTF-8", "other bytes in "+shown(name))
	}
	if name, times := f.repeated(); times > 0 {
		return nil, malformed("GL-4", "each parameter once", shown(name)+" "+strconv.Itoa(times)+" times")
	}
	return f, nil
}

// checkContentType is GL-2 for the header.
func checkContentType(values []string) error {
	if len(values) == 1 && values[0] == formType { // as nearly every client writes it
		return nil
	}
	contentType := strings.Join(values, ", ") // two are none (AK-24)
	mediaType, params, err := mime.ParseMediaType(contentType)
	if err != nil || mediaType != formType {
		return malformed("GL-2", formType, shown(contentType))
	}
	if charset, ok := params["charset"]; ok && !strings.EqualFold(charset, "utf-8") {
		return malformed("GL-2", "UTF-8", shown(charset))
	}
	return nil
}

// usualBody is longer than what a token request takes as a rule.
const usualBody = 4 << 10

// roomFor is how much is made ready for a body. The length is a stranger's word,
// so it makes no more than a usual request needs, before any of it has come (AK-18).
func roomFor(length int64) int {
	return int(min(max(0, length), usualBody)) + bytes.MinRead
}

// readBody reads the body up to MaxBody (GL-8).
func readBody(w http.ResponseWriter, r *http.Request) (string, error) {
	if r.ContentLength > MaxBody { // without reading a byte of it
		return "", tooLarge(r.ContentLength)
	}
	body := bytes.NewBuffer(make([]byte, 0, roomFor(r.ContentLength)))
	_, err := body.ReadFrom(http.MaxBytesReader(w, r.Body, MaxBody))
	if err != nil {
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return "", tooLarge(-1)
		}
		return "", malformed("GL-2", "a whole body", "a body that broke off").Because(err)
	}
	return body.String(), nil
}

func tooLarge(n int64) *oauth.Error {
	presented := "more"
	if n > 0 {
		presented = strconv.FormatInt(n, 10) + " bytes"
	}
	return oauth.Refuse(oauth.TooLarge, oauth.ReasonRequestTooLarge, "GL-8", "a body of at most "+strconv.Itoa(MaxBody)+" bytes", presented)
}
