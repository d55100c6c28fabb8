package telemetry

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestVariables(t *testing.T) {
	noCertificate := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(noCertificate, []byte("nothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ name, value, problem string }{
		{"OTEL_SDK_DISABLED", "yes", `"yes" is not "true" or "false"`},
		{"OTEL_SDK_DISABLED", "false", ""},
		{"OTEL_TRACES_EXPORTER", "otlp", ""},
		{"OTEL_TRACES_EXPORTER", "jaeger", `"jaeger" is not "otlp" or "none"`},
		{"OTEL_EXPORTER_OTLP_PROTOCOL", "thrift", `"thrift" is not`},
		{"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json", ""},
		{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "collector:4317", "not a URL"},
		{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "ftp://collector", "not a URL"},
		{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://secret:secret@collector", "OTEL_EXPORTER_OTLP_HEADERS"},
		{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://collector/path", ""},
		{"OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20secret,x=y", ""},
		{"OTEL_EXPORTER_OTLP_HEADERS", "secret", "not name=value"},
		{"OTEL_EXPORTER_OTLP_HEADERS", "se cret=x", "not name=value"},
		{"OTEL_EXPORTER_OTLP_HEADERS", "x=secret%0ax", "not name=value"},
		{"OTEL_EXPORTER_OTLP_TRACES_HEADERS", "x=secret%zz", "not name=value"},
		{"OTEL_EXPORTER_OTLP_TIMEOUT", "10s", `"10s" is not a whole number from 1`},
		{"OTEL_EXPORTER_OTLP_COMPRESSION", "zstd", `"zstd" is not "gzip" or "none"`},
		{"OTEL_EXPORTER_OTLP_INSECURE", "1", `"1" is not "true" or "false"`},
		{"OTEL_EXPORTER_OTLP_CERTIFICATE", "/does/not/exist", "no such file"},
		{"OTEL_EXPORTER_OTLP_CERTIFICATE", noCertificate, "no certificate in PEM"},
		{"OTEL_EXPORTER_OTLP_CLIENT_KEY", noCertificate, "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE and OTEL_EXPORTER_OTLP_CLIENT_KEY"},
		{"OTEL_PROPAGATORS", "tracecontext,baggage", ""},
		{"OTEL_PROPAGATORS", "b3", `"b3" is not supported`},
		{"OTEL_TRACES_SAMPLER", "sometimes", `"sometimes" is none of always_on`},
		{"OTEL_TRACES_SAMPLER", "parentbased_traceidratio", ""},
		{"OTEL_RESOURCE_ATTRIBUTES", "team=chat,region", `"region" is not key=value`},
		{"OTEL_BSP_MAX_QUEUE_SIZE", "0", `"0" is not a whole number from 1`},
		{"OTEL_SPAN_LINK_COUNT_LIMIT", "many", "whole number"},
	} {
		t.Run(tt.name+"="+tt.value, func(t *testing.T) {
			variables := map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4318", tt.name: tt.value}
			s, err := read(func(name string) string { return variables[name] })
			if tt.problem == "" {
				if err != nil || s == nil {
					t.Errorf("read: %v, %v", s, err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tt.name) || !strings.Contains(err.Error(), tt.problem) {
				t.Errorf("read: %v; want %s", err, tt.problem)
			}
			if err != nil && strings.Contains(err.Error(), "secret") {
				t.Errorf("the error has a secret: %v", err)
			}
		})
	}
}

func TestSamplerArg(t *testing.T) {
	for arg, valid := range map[string]bool{"": true, "0": true, "0.01": true, "1": true, "-1": false, "1.5": false, "NaN": false, "1%": false} {
		variables := map[string]string{"OTEL_TRACES_EXPORTER": "otlp", "OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": arg}
		_, err := read(func(name string) string { return variables[name] })
		if (err == nil) != valid {
			t.Errorf("%q: %v", arg, err)
		}
	}
}

// TestEveryProblemIsNamed: one start shows all that is wrong.
func TestEveryProblemIsNamed(t *testing.T) {
	variables := map[string]string{
		"OTEL_TRACES_EXPORTER": "otlp", "OTEL_TRACES_SAMPLER": "x", "OTEL_PROPAGATORS": "x", "OTEL_EXPORTER_OTLP_TIMEOUT": "x", "OTEL_BSP_SCHEDULE_DELAY": "x",
	}
	_, err := read(func(name string) string { return variables[name] })
	if err == nil || len(strings.Split(err.Error(), "\n")) != 4 {
		t.Errorf("the error is %v", err)
	}
}

func TestSettings(t *testing.T) {
	for _, tt := range []struct {
		variables map[string]string
		want      settings
	}{
		{map[string]string{"OTEL_TRACES_EXPORTER": "otlp"}, settings{protocolHTTP, 2048, true, true}},
		{map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "https://c"}, settings{protocolHTTP, 2048, true, false}},
		{map[string]string{"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_INSECURE": "false", "OTEL_PROPAGATORS": "none"}, settings{protocolHTTP, 2048, false, false}},
		{map[string]string{
			"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
			"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "grpc", "OTEL_BSP_MAX_QUEUE_SIZE": "7",
		}, settings{protocolGRPC, 7, true, false}},
	} {
		got, err := read(func(name string) string { return tt.variables[name] })
		if err != nil || *got != tt.want {
			t.Errorf("%v: %+v, %v; want %+v", tt.variables, got, err, tt.want)
		}
	}
}
