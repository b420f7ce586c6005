package otlp

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	oteltrace "go.opentelemetry.io/otel/trace"

	"github.com/svidgate/svidgate/internal/trace"
	"github.com/svidgate/svidgate/oauth"
)

const (
	sendTimeout = 5 * time.Second // for one batch
	sendEvery   = 5 * time.Second
	queue       = 2048 // spans that wait; more are dropped
	quiet       = time.Minute
)

// A Config says where traces go.
type Config struct {
	// Endpoint is the base URL of the collector, to which /v1/traces is added.
	Endpoint string
	// Version is the server's own.
	Version string
	// Log hears, now and then, that traces cannot be delivered.
	Log *slog.Logger
}

// An Exporter sends traces. Any number of goroutines may use it. One process has
// one: OpenTelemetry reports its faults to one place.
type Exporter struct {
	provider *sdk.TracerProvider
	tracer   oteltrace.Tracer
	told     atomic.Int64 // when the log was told last, in Unix seconds
}

// New makes an exporter. Nothing is sent before there is a trace, so a collector
// that is away is no error.
func New(c Config) (*Exporter, error) {
	e := &Exporter{}
	// Both are of the process. Left alone they write to standard error, where each
	// line has to be JSON.
	otel.SetLogger(logr.Discard())
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { e.failed(c.Log, err) }))
	client := &http.Client{
		Timeout: sendTimeout,
		Transport: &http.Transport{
			TLSClientConfig:     &tls.Config{MinVersion: tls.VersionTLS12},
			TLSHandshakeTimeout: sendTimeout,
			MaxIdleConns:        2,
			IdleConnTimeout:     time.Minute,
			ForceAttemptHTTP2:   true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return errors.New("the collector redirects, which is not followed")
		},
	}
	exporter, err := otlptracehttp.New(context.Background(),
		otlptracehttp.WithEndpointURL(strings.TrimSuffix(c.Endpoint, "/")+"/v1/traces"),
		otlptracehttp.WithHTTPClient(client),
		otlptracehttp.WithTimeout(sendTimeout),
		otlptracehttp.WithRetry(otlptracehttp.RetryConfig{Enabled: false}),
	)
	if err != nil {
		return nil, fmt.Errorf("otlp: %w", err)
	}
	e.provider = sdk.NewTracerProvider(
		// The choice was made before: what comes here is to be sent.
		sdk.WithSampler(sdk.AlwaysSample()),
		sdk.WithBatcher(exporter, sdk.WithMaxQueueSize(queue), sdk.WithBatchTimeout(sendEvery), sdk.WithExportTimeout(sendTimeout)),
		// Without a schema: two of different versions cannot be merged.
		sdk.WithResource(resource.NewSchemaless(attribute.String("service.name", "svidgate"), attribute.String("service.version", c.Version))),
	)
	e.tracer = e.provider.Tracer("github.com/svidgate/svidgate")
	return e, nil
}

// Shutdown sends what there is, as long as ctx lasts.
func (e *Exporter) Shutdown(ctx context.Context) error {
	if err := e.provider.Shutdown(ctx); err != nil {
		return fmt.Errorf("otlp: %w", oauth.ShownError(err))
	}
	return nil
}

func (e *Exporter) failed(log *slog.Logger, err error) {
	now, before := time.Now().Unix(), e.told.Load()
	if now-before < int64(quiet/time.Second) || !e.told.CompareAndSwap(before, now) {
		return
	}
	log.Warn("traces cannot be delivered, some are lost", "error", oauth.Shown(err.Error()))
}

var _ func(*trace.Trace) = (*Exporter)(nil).Export
