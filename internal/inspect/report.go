package inspect

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"time"

	"github.com/svidgate/svidgate/internal/spoken"
	"github.com/svidgate/svidgate/oauth"
)

// A Kind names what a document is.
type Kind string

const (
	JWTSVID          Kind = "jwt-svid"
	WITSVID          Kind = "wit-svid"
	WITProof         Kind = "wit-svid-proof"
	AccessToken      Kind = "access-token"
	JWT              Kind = "jwt"
	X509SVID         Kind = "x509-svid"
	CACertificate    Kind = "ca-certificate"
	Certificate      Kind = "certificate"
	Bundle           Kind = "spiffe-bundle"
	KeySet           Kind = "jwk-set"
	Key              Kind = "jwk"
	ServerMetadata   Kind = "authorization-server-metadata"
	ResourceMetadata Kind = "protected-resource-metadata"
)

// A Report is what a document says of itself.
type Report struct {
	Kind Kind `json:"kind"`
	// Name is the kind in words, Because why it is taken for that.
	Name    string `json:"name"`
	Because string `json:"because"`
	// Verified is false, always: it is there so that no reader of the JSON form
	// takes the rest for more than it is.
	Verified bool      `json:"verified"`
	Sections []Section `json:"sections"`
	// Remarks are what is odd by our rules.
	Remarks []Remark `json:"remarks,omitempty"`
}

// A Section is a part of a document, such as the claims of a token.
type Section struct {
	Title string `json:"title,omitempty"`
	Facts []Fact `json:"facts"`
}

// A Fact is one thing that a document says. Note is ours: a time in words, for
// instance.
type Fact struct {
	Name  string `json:"name"`
	Value string `json:"value"`
	Note  string `json:"note,omitempty"`
}

// A Remark is on something that a rule of ours refuses or tells of.
type Remark struct {
	Rule   string       `json:"rule"`
	Reason oauth.Reason `json:"reason,omitempty"` // where it has a code
	Text   string       `json:"text"`
}

func (s *Section) add(name, value string, note ...string) {
	f := Fact{Name: name, Value: value}
	if len(note) > 0 {
		f.Note = note[0]
	}
	s.Facts = append(s.Facts, f)
}

// moment adds a time with its distance from now: "expired 2m ago" is what an
// operator looks for first.
func (s *Section) moment(name string, t, now time.Time) {
	s.add(name, t.UTC().Format(time.RFC3339), spoken.Since(now.Sub(t)))
}

// end is moment for a time that should lie ahead.
func (s *Section) end(name string, t, now time.Time) {
	note := spoken.Since(now.Sub(t))
	if !t.After(now) {
		note = "EXPIRED " + note
	}
	s.add(name, t.UTC().Format(time.RFC3339), note)
}

func (r *Report) remark(rule, text string) {
	r.Remarks = append(r.Remarks, Remark{Rule: rule, Text: text})
}

// open is remark for a rule that the requirements list in a range only, because
// nothing refuses by it yet.
func (r *Report) open(prefix string, n int, text string) {
	r.remark(fmt.Sprintf("%s-%d", prefix, n), text)
}

// Thumbprint is the value of x5t#S256 for a certificate in DER (MT-1).
func Thumbprint(der []byte) string {
	sum := sha256.Sum256(der)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
