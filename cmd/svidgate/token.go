package main

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/svidgate/svidgate/client"
	"github.com/svidgate/svidgate/client/workload"
	"github.com/svidgate/svidgate/internal/strictid"
	"github.com/svidgate/svidgate/oauth"
)

// tokenFlags are the flags of `svidgate token`.
type tokenFlags struct {
	issuer, clientID, caFile   string
	serverID, serverBundleFile string
	socket, spiffeID, hint     string
	jwtFile, certFile, keyFile string
	witFile, witKeyFile        string
	headersFor, requestMethod  string
	method, resource, scope    string
	endpointAudience           bool
	printClaims, asJSON        bool
	timeout                    time.Duration
}

func newToken() *cobra.Command {
	var f tokenFlags
	cmd := &cobra.Command{
		Use:   "token --issuer URL",
		Short: "Get an access token for this workload and print it",
		Long: `Get an access token for this workload and print it on standard output.

The SVID comes from the SPIFFE Workload API (--socket or SPIFFE_ENDPOINT_SOCKET),
or from files: --jwt-svid-file, --wit-svid-file with --wit-key-file, or
--x509-svid-file with --x509-key-file. The server is verified by the system's
certificate authorities, or by --ca-file; the SPIFFE trust bundle has no part in that.
A server that has an X.509-SVID instead is known by --server-id, which the OAuth
profile for SPIFFE does not have: then the bundle of its trust domain decides, from the
Workload API or --server-bundle-file, and its host name does not count.

A token that is bound to the key of a WIT-SVID needs a proof for each call:
--headers-for URL prints the headers of one call, for curl -H @-.

Who sees a bearer token can use it: mind where the output goes.`,
		Example: `  svidgate token --issuer https://as.example.com --resource https://api.example.com/
  svidgate token --issuer https://as.example.com --method spiffe_x509 --print-claims
  svidgate token --issuer https://as.example.com --method spiffe_wit --headers-for https://api.example.com/
  svidgate token --issuer https://as.example.com --jwt-svid-file jwt_svid.token --json
  svidgate token --issuer https://as.example.com --server-id spiffe://example.org/as`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.check(); err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), f.timeout)
			defer cancel()
			return f.said(f.run(ctx, cmd))
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.issuer, "issuer", "", "issuer identifier of the authorization server (required)")
	flags.StringVar(&f.clientID, "client-id", "", "client identifier (default: the SPIFFE ID)")
	flags.StringVar(&f.caFile, "ca-file", "", "PEM file of the authorities that vouch for the server (default: the system's)")
	flags.StringVar(&f.serverID, "server-id", "", "SPIFFE ID that the server has to show in an X.509-SVID (default: it has a certificate for its host)")
	flags.StringVar(&f.serverBundleFile, "server-bundle-file", "", "file of the bundle that --server-id is verified by, a SPIFFE bundle or PEM (default: the Workload API's)")
	flags.StringVar(&f.socket, "socket", "", "address of the Workload API, such as unix:///run/spire/agent.sock (default: SPIFFE_ENDPOINT_SOCKET)")
	flags.StringVar(&f.spiffeID, "spiffe-id", "", "which identity to use when the Workload API has several")
	flags.StringVar(&f.hint, "hint", "", "which identity to use, by its hint")
	flags.StringVar(&f.jwtFile, "jwt-svid-file", "", "file that holds a JWT-SVID whose audience is the issuer")
	flags.StringVar(&f.certFile, "x509-svid-file", "", "PEM file of the X.509-SVID and its intermediates")
	flags.StringVar(&f.keyFile, "x509-key-file", "", "PEM file of the X.509-SVID's private key")
	flags.StringVar(&f.witFile, "wit-svid-file", "", "file that holds a WIT-SVID")
	flags.StringVar(&f.witKeyFile, "wit-key-file", "", "file of the WIT-SVID's private key, a JWK or PEM")
	flags.StringVar(&f.method, "method", "", "spiffe_jwt, spiffe_wit or spiffe_x509 (default: the best that server and workload both have, whatever the client is registered for)")
	flags.StringVar(&f.resource, "resource", "", "API that the token is for (default: the client's only one)")
	flags.StringVar(&f.scope, "scope", "", "scope, separated by spaces (default: all that the client may have)")
	flags.BoolVar(&f.endpointAudience, "endpoint-audience", false, "ask for a JWT-SVID whose audience is the token endpoint, for servers with profile seed")
	flags.BoolVar(&f.printClaims, "print-claims", false, "print the claims of the token instead of the token")
	flags.BoolVar(&f.asJSON, "json", false, "print the token with its scope and end as JSON")
	flags.StringVar(&f.headersFor, "headers-for", "", "print the headers of one call of this https URL instead of the token, with a proof where the token needs one")
	flags.StringVar(&f.requestMethod, "request-method", http.MethodGet, "the HTTP method of that call")
	flags.DurationVar(&f.timeout, "timeout", 30*time.Second, "give up after this time")
	for _, name := range []string{"ca-file", "server-bundle-file", "jwt-svid-file", "x509-svid-file", "x509-key-file", "wit-svid-file", "wit-key-file"} {
		cmd.MarkFlagFilename(name)
	}
	cmd.RegisterFlagCompletionFunc("method", cobra.FixedCompletions(methods, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// methods are those of the command line.
var methods = []string{string(oauth.MethodJWT), string(oauth.MethodWIT), string(oauth.MethodX509)}

// check is what can be said before anybody is asked.
func (f *tokenFlags) check() error {
	if f.issuer == "" {
		return errors.New("name the authorization server with --issuer")
	}
	if u, err := url.Parse(f.issuer); err != nil || u.Scheme != "https" || u.Host == "" {
		return fmt.Errorf("the issuer %q is not an https URL", oauth.Shown(f.issuer))
	}
	if f.method != "" && !slices.Contains(methods, f.method) {
		return fmt.Errorf("--method is spiffe_jwt, spiffe_wit or spiffe_x509, not %q", oauth.Shown(f.method))
	}
	if f.caFile != "" && f.serverID != "" {
		return errors.New("give one of --ca-file and --server-id")
	}
	if err := pairs(f.certFile, f.keyFile, f.witFile, f.witKeyFile); err != nil {
		return err
	}
	if f.printClaims && f.asJSON || f.headersFor != "" && (f.printClaims || f.asJSON) {
		return errors.New("give one of --print-claims, --json and --headers-for")
	}
	if f.headersFor != "" {
		_, err := f.call()
		return err
	}
	return nil
}

// pairs holds that a certificate or WIT-SVID has its key beside it.
func pairs(cert, key, wit, witKey string) error {
	if (cert == "") != (key == "") {
		return errors.New("--x509-svid-file and --x509-key-file go together")
	}
	if (wit == "") != (witKey == "") {
		return errors.New("--wit-svid-file and --wit-key-file go together")
	}
	return nil
}

// said is an error of the libraries in the words of the command line.
func (f *tokenFlags) said(err error) error {
	if err == nil {
		return nil
	}
	text := strings.TrimPrefix(strings.TrimPrefix(err.Error(), "client: "), "workload: ")
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok && f.serverID == "" {
		where := "this system"
		if f.caFile != "" {
			where = f.caFile
		}
		return fmt.Errorf("no authority in %s vouches for the certificate of %s: name the one that signed it with --ca-file; the SPIFFE trust bundle has no part in this (CX-6)", where, f.issuer)
	}
	text = strings.ReplaceAll(text, context.DeadlineExceeded.Error(), "gave up after "+f.timeout.String())
	refused, ok := errors.AsType[*client.ResponseError](err)
	switch {
	case ok && refused.Code == oauth.InvalidClient && f.method == "":
		text += "; a client of another method needs --method"
	case !ok && errors.As(err, new(*net.OpError)):
		text += "; svidgate doctor --issuer " + f.issuer + " checks the whole way"
	}
	return errors.New(text)
}

func (f *tokenFlags) run(ctx context.Context, cmd *cobra.Command) error {
	config := client.Config{
		Issuer: f.issuer, ClientID: f.clientID, Method: oauth.AuthMethod(f.method), EndpointAudience: f.endpointAudience,
	}
	var err error
	if config.RootCAs, err = rootsFrom(f.caFile); err != nil {
		return err
	}
	if err := f.pin(&config); err != nil {
		return err
	}
	closeSource, err := f.credentials(ctx, &config)
	if err != nil {
		return err
	}
	defer closeSource()
	c, err := client.New(ctx, config)
	if err != nil {
		return err
	}
	token, err := c.Token(ctx, client.Request{Resource: f.resource, Scope: f.scope})
	if err != nil {
		return err
	}
	return f.print(cmd, token)
}

// pin takes the SPIFFE ID of the server, and its bundle where that is in a file.
func (f *tokenFlags) pin(config *client.Config) error {
	fromFiles := f.jwtFile != "" || f.certFile != "" || f.witFile != ""
	switch {
	case f.serverID == "" && f.serverBundleFile == "":
		return nil
	case f.serverID == "":
		return errors.New("--server-bundle-file is of use with --server-id only")
	case f.serverBundleFile == "" && fromFiles:
		return errors.New("--server-id needs --server-bundle-file where the SVID comes from files")
	}
	id, err := strictid.Workload(f.serverID)
	if err != nil {
		return fmt.Errorf("--server-id %q: %w", oauth.Shown(f.serverID), err)
	}
	config.ServerID = id
	if f.serverBundleFile != "" {
		config.ServerBundles = client.X509BundleFile(f.serverBundleFile, id.TrustDomain())
	}
	return nil
}

// credentials takes the SVIDs from files, or from the Workload API when no file
// is named.
func (f *tokenFlags) credentials(ctx context.Context, config *client.Config) (closeSource func(), err error) {
	if f.jwtFile != "" {
		config.Credentials = append(config.Credentials, client.JWTSVID(client.JWTSVIDFile(f.jwtFile)))
	}
	if f.certFile != "" {
		config.Credentials = append(config.Credentials, client.X509SVID(client.X509SVIDFiles(f.certFile, f.keyFile)))
	}
	if f.witFile != "" {
		config.Credentials = append(config.Credentials, client.WITSVID(client.WITSVIDFiles(f.witFile, f.witKeyFile)))
	}
	if len(config.Credentials) > 0 {
		return func() {}, nil
	}
	if f.socket == "" && os.Getenv("SPIFFE_ENDPOINT_SOCKET") == "" {
		return nil, errors.New("there is no SVID: name the Workload API with --socket or SPIFFE_ENDPOINT_SOCKET, or files with --jwt-svid-file, --wit-svid-file or --x509-svid-file")
	}
	source, err := workload.Open(ctx, workload.Config{Address: f.socket, SPIFFEID: f.spiffeID, Hint: f.hint})
	if err != nil {
		return nil, err
	}
	if !config.ServerID.IsZero() && config.ServerBundles == nil {
		config.ServerBundles = source
	}
	switch config.Method {
	case oauth.MethodJWT: // a certificate would bind the token, which a command cannot use
		config.Credentials = []client.Credential{client.JWTSVID(source)}
	case oauth.MethodX509:
		config.Credentials = []client.Credential{client.X509SVID(source)}
	case oauth.MethodWIT:
		config.Credentials = []client.Credential{client.WITSVID(source)}
	default:
		config.Credentials = source.Credentials()
	}
	return func() { source.Close() }, nil
}

func (f *tokenFlags) print(cmd *cobra.Command, token *client.Token) error {
	out := cmd.OutOrStdout()
	switch {
	case f.headersFor != "":
		return f.printHeaders(cmd, token)
	case f.printClaims:
		claims, err := claimsOf(string(token.AccessToken))
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(out, claims)
		return err
	case f.asJSON:
		return json.NewEncoder(out).Encode(map[string]any{
			"access_token": token.AccessToken, "token_type": token.TokenType,
			"scope": token.Scope, "expires_at": token.ExpiresAt.UTC().Format(time.RFC3339),
		})
	}
	_, err := fmt.Fprintln(out, string(token.AccessToken))
	return err
}

// call is the request that --headers-for is about.
func (f *tokenFlags) call() (*http.Request, error) {
	req, err := http.NewRequest(f.requestMethod, f.headersFor, nil)
	if err != nil || req.URL.Scheme != "https" || req.URL.Host == "" {
		return nil, fmt.Errorf("--headers-for %s, --request-method %s: that is no call of an https URL", oauth.Shown(f.headersFor), oauth.Shown(f.requestMethod))
	}
	return req, nil
}

// printHeaders prints the headers of one call as curl -H @FILE reads them.
func (f *tokenFlags) printHeaders(cmd *cobra.Command, token *client.Token) error {
	req, err := f.call()
	if err != nil {
		return err
	}
	if err := token.Authorize(req); err != nil {
		return err
	}
	for _, name := range []string{"Authorization", oauth.HeaderDPoP} {
		if value := req.Header.Get(name); value != "" {
			if _, err := fmt.Fprintf(cmd.OutOrStdout(), "%s: %s\n", name, value); err != nil {
				return err
			}
		}
	}
	return nil
}

// claimsOf shows what a token says. Nothing is verified: the token has just come
// from the server that made it.
func claimsOf(token string) (string, error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return "", errors.New("the token is not a JWT, so its claims cannot be shown")
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return "", errors.New("the token is not a JWT, so its claims cannot be shown")
	}
	var claims json.RawMessage = payload
	indented, err := json.MarshalIndent(claims, "", "  ")
	if err != nil {
		return "", errors.New("the token is not a JWT, so its claims cannot be shown")
	}
	return string(indented), nil
}
