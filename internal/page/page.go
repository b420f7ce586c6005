package page

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

//go:embed templates/*.html style.css
var files embed.FS

var (
	style     = must(files.ReadFile("style.css"))
	templates = template.Must(template.New("").Funcs(template.FuncMap{"day": day}).ParseFS(files, "templates/*.html"))
)

func must(data []byte, err error) []byte {
	if err != nil { // it is built in
		panic(err)
	}
	return data
}

// day is a date as people write it, and in no country's order of numbers.
func day(t time.Time) string { return t.UTC().Format("2 January 2006") }

// Pages makes pages for one issuer.
type Pages struct {
	host  string // of the issuer, for people to see where they are
	paths paths
}

// paths are where forms and links lead, in every template.
type paths struct {
	Style, Login, Start, Consent, Logout, Account string
}

// Names of the paths below the issuer.
const (
	PathLogin    = "/login"
	PathDone     = "/login/done"
	PathStart    = "/login/start"
	PathCallback = "/login/callback" // and the name of a provider
	PathConsent  = "/consent"
	PathLogout   = "/logout"
	PathAccount  = "/account"
)

// New makes the pages of an issuer.
func New(issuer string) (*Pages, error) {
	u, err := url.Parse(issuer)
	if err != nil || u.Host == "" {
		return nil, fmt.Errorf("page: an issuer without a host")
	}
	base := strings.TrimSuffix(u.Path, "/")
	sum := sha256.Sum256(style)
	return &Pages{host: u.Host, paths: paths{
		Style: base + "/login/style-" + base64.RawURLEncoding.EncodeToString(sum[:9]) + ".css",
		Login: base + PathLogin, Start: base + PathStart, Consent: base + PathConsent, Logout: base + PathLogout, Account: base + PathAccount,
	}}, nil
}

// StylePath is the path of the style sheet. It changes with its content.
func (p *Pages) StylePath() string { return p.paths.Style }

// ServeStyle serves the style sheet, which may be kept for ever.
func (p *Pages) ServeStyle(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Content-Type", "text/css; charset=utf-8")
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Content-Length", strconv.Itoa(len(style)))
	w.Write(style) // an error here is the peer's
}

// A Page is one that was made, with nothing left to go wrong.
type Page struct {
	body []byte
	// leads is where its forms may lead besides this server (form-action).
	leads string
}

// A frame is what all templates share.
type frame struct {
	Paths paths
	Host  string
	Title string
	Next  string // where the browser goes by itself; may be empty
	Page  any
}

func (p *Pages) make(name, title, leads string, content any) (Page, error) {
	return p.makeFrame(name, frame{Title: title, Page: content}, leads)
}

func (p *Pages) makeFrame(name string, f frame, leads string) (Page, error) {
	f.Paths, f.Host = p.paths, p.host
	var body bytes.Buffer
	if err := templates.ExecuteTemplate(&body, name, f); err != nil {
		return Page{}, fmt.Errorf("page: %w", err)
	}
	return Page{body.Bytes(), leads}, nil
}

// Write answers with the page.
func (g Page) Write(w http.ResponseWriter, status int) {
	Headers(w.Header(), g.leads)
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(len(g.body)))
	w.WriteHeader(status)
	w.Write(g.body) // an error here is the peer's
}

// Headers are those of every page, and of every redirect of one: nobody frames it,
// nobody keeps it, nobody learns its URL (AZ-11, GL-6). leads is where its forms may
// lead besides this server.
func Headers(h http.Header, leads string) {
	action := "'self'"
	if leads != "" {
		action += " " + leads
	}
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; form-action "+action+"; frame-ancestors 'none'; base-uri 'none'")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
}

// A Client is who asks for something.
type Client struct {
	Name string // empty where the operator gave none
	ID   string
	// Back is where people go afterwards, in words.
	Back string
}

// A Choice is a provider that somebody may sign in at.
type Choice struct{ Name, Title string }

// SignIn is the page on which somebody says who they are.
type SignIn struct {
	Client  *Client // nil for somebody who came by themselves
	Request string  // what is carried to the next step; may be empty
	Local   bool
	Choices []Choice
	User    string // as it was typed before
	Problem string // what went wrong before; a sentence of ours
}

// SignIn makes it.
func (p *Pages) SignIn(s SignIn) (Page, error) {
	return p.make("signin.html", titled("Sign in", s.Problem), "", s)
}

// A Scope is one word of what is asked for, and what it means, where the operator
// said so.
type Scope struct{ Name, Words string }

// Consent is the page on which somebody is asked.
type Consent struct {
	Client   Client
	Resource string
	Title    string // of the resource; may be empty
	Scope    []Scope
	User     string // what they are called
	Subject  string // and who they are
	Request  string
	Person   string // which session the page was made for
	Shown    string // names what the page says, so that the answer is one to that
	Leads    string // where the answer leads
	Again    bool   // the answer is not remembered
	Problem  string
}

// Consent makes it.
func (p *Pages) Consent(c Consent) (Page, error) {
	return p.make("consent.html", titled("Allow access", c.Problem), c.Leads, c)
}

// Failed is the page of what did not work.
type Failed struct {
	Sentence  string // a sentence of ours
	RequestID string
	OnLabel   string // what leads on; may be empty
	OnLink    string
}

// Failed makes it.
func (p *Pages) Failed(f Failed) (Page, error) {
	return p.make("failed.html", "This did not work", "", f)
}

// An App is a client that somebody let in.
type App struct {
	Name    string // as people are shown it; empty where it is no client any more
	ID      string
	Entries []AppEntry
}

// An AppEntry is what it may have at one resource.
type AppEntry struct {
	Title    string // of the resource, may be empty
	Resource string
	Scope    []Scope
	Given    time.Time
}

// Account is the page on which people see what they agreed to.
type Account struct {
	User    string
	Subject string
	Apps    []App
	Person  string
	Notice  string // what was just done; a sentence of ours
}

// Account makes it.
func (p *Pages) Account(a Account) (Page, error) {
	return p.make("account.html", "Your account", "", a)
}

// Plain is a page that only says something.
type Plain struct {
	Heading, Sentence string
	OnLabel, OnLink   string
	// Button is what a button of the page says that signs out; may be empty.
	Button string
	Person string
}

// Plain makes it.
func (p *Pages) Plain(s Plain) (Page, error) {
	return p.make("plain.html", s.Heading, "", s)
}

// SignedIn is a page between signing in and going back to a client. Browsers hold
// each redirect after a form to the form-action of its page; the page with the
// password allows none to other hosts, so the way to the client begins anew here.
type SignedIn struct {
	Client Client
	Next   string
}

// SignedIn makes it.
func (p *Pages) SignedIn(s SignedIn) (Page, error) {
	return p.makeFrame("signedin.html", frame{Title: "You are signed in", Next: s.Next, Page: s}, "")
}

func titled(title, problem string) string {
	if problem != "" {
		return "Error: " + title
	}
	return title
}
