package main

import (
	"context"
	"errors"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/svidgate/svidgate/internal/config"
	"github.com/svidgate/svidgate/internal/credential"
	"github.com/svidgate/svidgate/internal/daemon"
	"github.com/svidgate/svidgate/internal/explain"
)

// explainFlags are the flags of `svidgate explain`.
type explainFlags struct {
	connection
	config                        string
	bundle, trustDomain, audience string
	clientID, listener            string
	requestID, audit              string
}

// notJudged is the exit code of a credential that could not be judged.
const notJudged = 2

func newExplain() *cobra.Command {
	var f explainFlags
	cmd := &cobra.Command{
		Use:   "explain [FILE|-]",
		Short: "Say why a credential is refused, rule by rule, and what to do next",
		Long: `Judge a JWT-SVID, a WIT-SVID, or an X.509-SVID with its chain in PEM or DER (leaf
first), by the server's own rules, and say of each what it found: ✓ passed, ✗
refused, – not judged. The proof of a WIT-SVID stands in a line of its own beside
it, and is judged with it; without one its rules are not judged. Then the verdict,
the nearest name that is configured and where it first differs, the clocks, and the
next command to run. What spire-agent api fetch jwt prints is taken as it is.

A running server is asked through its administration socket: its answer is what it
would decide now, and nothing is marked as used. With --config the configuration
and what it has on disk judge, with --bundle one bundle file; neither asks anybody.

Without --client-id the rules that need it are not judged, unless the SPIFFE ID
alone settles them; --client-id "" is a request that sends none. The audience of
a JWT-SVID may be the endpoint's own URL, so --listener says which was called.

With --request-id a decision of the past is looked up in the audit record.

Exit code 0: accepted (or found); 1: refused; 2: it could not be judged. Signatures
are not shown, and a private key in the input is refused.`,
		Example: `  svidgate explain svid.jwt --socket /run/svidgate/svidgate-admin.sock
  svidgate explain --json -
  svidgate explain chain.pem --config svidgate.yaml --client-id billing
  svidgate explain svid.jwt --bundle bundle.json --trust-domain example.org --audience https://as.example.com
  svidgate explain --request-id 5RZ3JUF5QNTT2QY2PA7SXGBWPN`,
		Args: func(cmd *cobra.Command, args []string) error { return asNotJudged(cobra.MaximumNArgs(1)(cmd, args)) },
		RunE: func(cmd *cobra.Command, args []string) error { return f.run(cmd, args) },
	}
	flags := cmd.Flags()
	f.connection.flags(cmd, true)
	flags.StringVarP(&f.config, "config", "c", "", "judge by this configuration file and what it has on disk")
	flags.StringVar(&f.bundle, "bundle", "", "judge by this bundle file alone")
	flags.StringVar(&f.trustDomain, "trust-domain", "", "trust domain that the bundle is of (with --bundle)")
	flags.StringVar(&f.audience, "audience", "", "audience that the server expects: its issuer (with --bundle; not needed for certificates)")
	flags.StringVar(&f.clientID, "client-id", "", "client_id of the request")
	flags.StringVar(&f.listener, "listener", "", "listener whose endpoint is called: public or mtls (default: mtls for certificates where there is one, else public)")
	flags.StringVar(&f.requestID, "request-id", "", "explain the decision with this Request-Id instead of a credential")
	flags.StringVar(&f.audit, "audit", "", "audit file to look in (with --request-id and --config), where it is not the configured one")
	for _, name := range []string{"config", "bundle", "audit"} {
		cmd.MarkFlagFilename(name)
	}
	cmd.RegisterFlagCompletionFunc("listener", cobra.FixedCompletions([]string{daemon.Public, daemon.MTLS}, cobra.ShellCompDirectiveNoFileComp))
	cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return asNotJudged(sayFlag(cmd, err)) })
	return cmd
}

// asNotJudged makes an error end the program with the code 2.
func asNotJudged(err error) error {
	if err == nil {
		return nil
	}
	return &exitError{notJudged, err}
}

func (f *explainFlags) run(cmd *cobra.Command, args []string) error {
	if err := f.check(cmd, args); err != nil {
		return asNotJudged(err)
	}
	if f.requestID != "" {
		return asNotJudged(f.decision(cmd))
	}
	q, err := f.question(cmd, args)
	if err != nil {
		return asNotJudged(err)
	}
	report, err := f.judge(cmd, q)
	if err != nil {
		return asNotJudged(err)
	}
	if f.asJSON {
		err = printJSON(cmd.OutOrStdout(), report)
	} else {
		err = report.Write(cmd.OutOrStdout())
	}
	if err != nil {
		return asNotJudged(err)
	}
	if !report.Accepted {
		return errSilent
	}
	return nil
}

// check refuses flags that do not go together.
func (f *explainFlags) check(cmd *cobra.Command, args []string) error {
	changed := cmd.Flags().Changed
	modes := 0
	for _, name := range []string{"socket", "config", "bundle"} {
		if changed(name) {
			modes++
		}
	}
	switch {
	case modes > 1:
		return errors.New("give one of --socket, --config and --bundle")
	case f.bundle != "" && f.trustDomain == "":
		return errors.New("--bundle needs --trust-domain: a bundle does not say whose it is")
	case f.bundle == "" && (f.trustDomain != "" || f.audience != ""):
		return errors.New("--trust-domain and --audience go with --bundle; a server knows its own")
	case f.requestID == "" && cmd.Flags().Changed("request-id"):
		return errors.New("--request-id is empty")
	case f.requestID == "" && f.audit != "":
		return errors.New("--audit goes with --request-id")
	case f.requestID != "" && f.bundle != "":
		return errors.New("--request-id looks into an audit record: give --socket or --config")
	case f.requestID != "" && f.audit != "" && f.config == "":
		return errors.New("--audit goes with --config; a running server looks into its own record")
	case f.requestID != "" && (changed("client-id") || changed("listener")):
		return errors.New("--client-id and --listener are of a request to come; the record says what the one with --request-id had")
	case f.bundle != "" && changed("listener"):
		return errors.New("--listener goes with a server or its configuration; a bundle knows no endpoint")
	case f.bundle == "-" && (len(args) == 0 || args[0] == "-"):
		return errors.New("the bundle and the SVID cannot both come from standard input")
	case changed("listener") && f.listener != daemon.Public && f.listener != daemon.MTLS:
		return errors.New("--listener is public or mtls")
	case f.requestID != "" && len(args) > 0:
		return errors.New("--request-id takes no file: the record has no credential in it")
	}
	return nil
}

// question reads the credential, so that a private key goes no further.
func (f *explainFlags) question(cmd *cobra.Command, args []string) (explain.Question, error) {
	name, err := inputName(cmd, args)
	if err != nil {
		return explain.Question{}, err
	}
	data, err := readInput(cmd, name, credential.MaxInput+1)
	if err != nil {
		return explain.Question{}, err
	}
	shown, err := credential.Read(data)
	if err != nil {
		return explain.Question{}, err
	}
	if !utf8.Valid(data) { // DER, which no JSON string holds
		data = shown.PEM()
	}
	if f.bundle != "" && f.audience == "" && len(shown.Certificates) == 0 {
		return explain.Question{}, errors.New("a JWT-SVID, and the proof of a WIT-SVID, is judged by its audience, too: give --audience, the issuer of the server")
	}
	q := explain.Question{Credential: string(data), Listener: f.listener, Asked: time.Now()}
	if cmd.Flags().Changed("client-id") {
		q.ClientID = &f.clientID
	}
	return q, nil
}

func (f *explainFlags) judge(cmd *cobra.Command, q explain.Question) (explain.Report, error) {
	ctx := cmd.Context()
	switch {
	case f.config != "":
		cfg, err := config.Load(f.config)
		if err != nil {
			return explain.Report{}, err
		}
		return daemon.ExplainByConfig(ctx, cfg, time.Now, q)
	case f.bundle != "":
		document, err := readInput(cmd, f.bundle, maxDocument)
		if err != nil {
			return explain.Report{}, err
		}
		return daemon.ExplainByBundle(ctx, daemon.BundleFile{Document: document, TrustDomain: f.trustDomain, Audience: f.audience}, time.Now, q)
	}
	return f.dial().Explain(ctx, q)
}

// decision looks a decision up.
func (f *explainFlags) decision(cmd *cobra.Command) error {
	d, err := f.find(cmd.Context())
	if err != nil {
		return err
	}
	if f.asJSON {
		return printJSON(cmd.OutOrStdout(), d)
	}
	return d.Write(cmd.OutOrStdout())
}

func (f *explainFlags) find(ctx context.Context) (explain.Decision, error) {
	if f.config == "" {
		return f.dial().Decision(ctx, f.requestID)
	}
	cfg, err := config.Load(f.config)
	if err != nil {
		return explain.Decision{}, err
	}
	return daemon.DecisionByConfig(ctx, cfg, f.audit, f.requestID)
}
