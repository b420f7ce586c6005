package explain

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/svidgate/svidgate/internal/spoken"
	"github.com/svidgate/svidgate/oauth"
)

// Write prints a report for people: a line a rule, then the verdict. It uses no
// colour, so that it reads the same in a file.
func (r Report) Write(w io.Writer) error {
	var b strings.Builder
	claimed := "no SPIFFE ID that could be read"
	if r.SPIFFEID != "" {
		claimed = r.SPIFFEID
	}
	fmt.Fprintf(&b, "%s of %s, judged by %s\n\n", kindOf(r.Method), claimed, r.judge())
	for _, rule := range r.Rules {
		r.writeRule(&b, rule)
	}
	b.WriteString("\n")
	field := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "  %-10s %s\n", name, fmt.Sprintf(format, args...))
	}
	if r.Accepted {
		b.WriteString("accepted")
		if n := r.notJudged(); n > 0 {
			fmt.Fprintf(&b, ", as far as it was judged: %d rules were not", n)
		}
		b.WriteString("\n")
	} else {
		fmt.Fprintf(&b, "refused: %s (%s)\n", r.Reason, r.Rule)
		field("cause", "%s", r.Cause)
		if r.Detail != "" {
			field("detail", "%s", r.Detail)
		}
	}
	if r.ClientID != "" {
		field("client_id", "%s", oauth.Shown(r.ClientID))
	}
	r.writeNearest(field)
	r.writeClock(field)
	for _, note := range r.Notes {
		field("note", "%s", note)
	}
	r.Step.write(&b, field)
	_, err := io.WriteString(w, b.String())
	return err
}

// kindOf is the SVID of a method in words.
func kindOf(m oauth.AuthMethod) string {
	switch m {
	case oauth.MethodX509:
		return "X.509-SVID"
	case oauth.MethodWIT:
		return "WIT-SVID"
	}
	return "JWT-SVID"
}

func (r Report) notJudged() (n int) {
	for _, rule := range r.Rules {
		if rule.OK == nil {
			n++
		}
	}
	return n
}

func (r Report) judge() string {
	switch r.JudgedBy {
	case ByServer:
		return "the running server " + r.Issuer
	case ByConfig:
		return "the configuration of " + r.Issuer
	}
	return "the bundle given"
}

func (r Report) writeRule(b *strings.Builder, rule Rule) {
	mark := "–"
	if rule.OK != nil {
		if mark = "✗"; *rule.OK {
			mark = "✓"
		}
	}
	fmt.Fprintf(b, "  %s %-5s  %s\n", mark, rule.ID, rule.What)
	if mark == "✗" {
		fmt.Fprintf(b, "             expected   %s\n", rule.Expected)
		fmt.Fprintf(b, "             presented  %s\n", rule.Presented)
	}
}

func (r Report) writeNearest(field func(string, string, ...any)) {
	near := func(what string, n *Near) {
		text := what + " " + n.Configured
		switch {
		case n.Difference == nil && n.Configured != n.Presented:
			text += "; it stands for the SPIFFE ID presented"
		case n.Difference != nil:
			text += "; first difference: " + n.Difference.String()
		}
		field("nearest", "%s", text)
	}
	if n := r.Nearest.Audience; n != nil {
		near("audience", n)
	}
	if n := r.Nearest.TrustDomain; n != nil {
		near("trust domain", n)
	}
	if n := r.Nearest.Client; n != nil {
		if n.Compared == "client_id" {
			near("client_id", &n.Near)
		} else {
			near("client "+n.ClientID+", spiffe_id", &n.Near)
		}
	}
}

func (r Report) writeClock(field func(string, string, ...any)) {
	if r.Clock == nil {
		return
	}
	var times []string
	for _, m := range r.Clock.Times {
		times = append(times, m.Name+" "+spoken.Since(-seconds(m.Seconds)))
	}
	text := r.Clock.Now.Format(time.RFC3339)
	if len(times) > 0 {
		text += ": " + strings.Join(times, ", ")
	}
	field("clock", "%s", text)
	if ahead := r.Clock.IssuerAhead; ahead > 0 {
		field("", "the clock of the issuer is at least %s ahead of the one here", spoken.Duration(seconds(ahead)))
	}
	switch offset := r.Clock.OffsetSeconds; {
	case offset > 0:
		field("", "the server's clock is %s ahead of this machine's", spoken.Duration(seconds(offset)))
	case offset < 0:
		field("", "the server's clock is %s behind this machine's", spoken.Duration(seconds(-offset)))
	}
}

func seconds(n int64) time.Duration { return time.Duration(n) * time.Second }

func (s Step) write(b *strings.Builder, field func(string, string, ...any)) {
	if s.Advice != "" {
		field("next", "%s", s.Advice)
	}
	if e := s.Edit; e != nil {
		file := "the configuration"
		if e.File != "" {
			file = e.File
		}
		field("", "in %s, under %s, write", file, e.Under)
		field("", "  %s", e.Write)
	}
	if s.Where != "" {
		field("", "%s:", s.Where)
	}
	if s.Next != "" {
		fmt.Fprintf(b, "\n    %s\n", s.Next)
	}
}
