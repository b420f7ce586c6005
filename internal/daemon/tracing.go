package daemon

import (
	"context"
	"log/slog"
	"time"

	"github.com/svidgate/svidgate/internal/build"
	"github.com/svidgate/svidgate/internal/config"
	"github.com/svidgate/svidgate/internal/trace"
	"github.com/svidgate/svidgate/internal/trace/otlp"
)

// flushTimeout is how long stopping waits for a collector.
const flushTimeout = 2 * time.Second

// openTracing is nil where none is configured.
func openTracing(cfg *config.Config, log *slog.Logger) (*otlp.Exporter, error) {
	if cfg.Tracing.Endpoint == "" {
		return nil, nil
	}
	return otlp.New(otlp.Config{Endpoint: cfg.Tracing.Endpoint, Version: build.Read().Version, Log: log})
}

// tracer follows requests as a configuration wants; nil follows none.
func (d *Daemon) tracer(cfg *config.Config) *trace.Tracer {
	if d.traces == nil {
		return nil
	}
	return &trace.Tracer{Sample: cfg.Tracing.Sample, Export: d.traces.Export, Now: d.now}
}

// endTracing sends what there is, if the collector takes it in time.
func (d *Daemon) endTracing() error {
	if d.traces == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), flushTimeout)
	defer cancel()
	return d.traces.Shutdown(ctx)
}
