package oauth

import (
	"errors"
	"strings"
	"time"
)

// An Error is a refusal, the only kind of error a stage of the pipeline
// returns. The peer sees Code and its fixed sentence; everything else is for
// the operator's log, audit line and `explain`.
//
// Expected and Presented are shown to operators: they never hold an assertion,
// a token, a key or a signature. Whoever fills them cuts long or odd input with
// [Shown].
type Error struct {
	Code      ErrorCode
	Reason    Reason
	Rule      string // id of the rule that refused, such as CJ-6
	Expected  string
	Presented string
	// Subject is the SPIFFE ID that the refused credential names, empty where it
	// names none. It is a claim and no proof, unless SubjectProven.
	Subject       string
	SubjectProven bool
	// KeyID is the kid of the refused JWT-SVID or WIT-SVID, or the serial number of
	// the certificate, and TokenID its jti: as far as it was read, made fit to show,
	// and a claim unless SubjectProven. BundleSequence is that of the bundle that it
	// was judged by, if there was one and it has one.
	KeyID, TokenID    string
	BundleSequence    uint64
	HasBundleSequence bool
	// RetryAfter is what a peer is told to wait after oauth.Unavailable and
	// oauth.TooMany; 0 is a second.
	RetryAfter time.Duration
	Err        error // the cause, may be nil
}

// Refuse makes an Error.
func Refuse(code ErrorCode, reason Reason, rule, expected, presented string) *Error {
	return &Error{Code: code, Reason: reason, Rule: rule, Expected: expected, Presented: presented}
}

// Because returns a copy of e with the cause err.
func (e *Error) Because(err error) *Error {
	c := *e
	c.Err = err
	return &c
}

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(string(e.Code))
	b.WriteString(": ")
	b.WriteString(string(e.Reason))
	if e.Rule != "" {
		b.WriteString(" (" + e.Rule + ")")
	}
	if e.Expected != "" {
		b.WriteString(": expected " + e.Expected)
	}
	if e.Presented != "" {
		b.WriteString(", presented " + e.Presented)
	}
	if e.Err != nil {
		b.WriteString(": " + e.Err.Error())
	}
	return b.String()
}

// Unwrap gives code, reason and cause, so that errors.Is answers for each.
func (e *Error) Unwrap() []error {
	errs := []error{e.Code, e.Reason}
	if e.Err != nil {
		errs = append(errs, e.Err)
	}
	return errs
}

// AsError returns the refusal in err's tree. An error that is none becomes a
// server_error without a reason a stranger could use.
func AsError(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	return &Error{Code: ServerError, Reason: ReasonInternal, Err: err}
}

const (
	// shownLimit bounds what of a peer's input is repeated to an operator.
	shownLimit = 200
	// searchLimit bounds what of it is searched for tokens.
	searchLimit = 20 * shownLimit
)

// Shown makes input fit to be shown to an operator: tokens replaced as by
// [Redact], at most 200 bytes, and control characters, quotes and bytes outside
// ASCII replaced, so that nothing a peer sends can forge a log line (AK-31).
func Shown(s string) string {
	cut := len(s) > searchLimit
	if cut {
		s = s[:searchLimit]
	}
	s = Redact(s) // before it is cut: a piece of a token is harder to know
	if len(s) > shownLimit {
		cut = true
		s = s[:shownLimit]
	}
	clean := strings.Map(func(r rune) rune {
		if r < 0x20 || r > 0x7e || r == '"' || r == '\\' {
			return '?'
		}
		return r
	}, s)
	if cut {
		clean += "…"
	}
	return clean
}

// ShownError is err with a text that is fit to be shown: see [Shown], but for
// double quotes, which become single ones, because errors quote. What it wraps can
// still be asked for.
func ShownError(err error) error { return shownError{err} }

type shownError struct{ err error }

func (e shownError) Error() string {
	return Shown(strings.ReplaceAll(e.err.Error(), `"`, "'"))
}
func (e shownError) Unwrap() error { return e.err }
