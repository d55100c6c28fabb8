package telemetry

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// The protocols of OTLP.
const (
	protocolGRPC = "grpc"
	protocolHTTP = "http/protobuf" // the default of OpenTelemetry
	protocolJSON = "http/json"
)

// otlp is the prefix of the variables of the exporter. Each exists for all signals and, behind
// tracesOTLP, for traces alone, which takes precedence.
const (
	otlp       = "OTEL_EXPORTER_OTLP_"
	tracesOTLP = otlp + "TRACES_"
)

// settings is what the environment says of traces. The SDK reads the rest of it by itself, but only
// logs what it can't use; so all of it is checked here.
type settings struct {
	protocol   string
	queue      int  // how many spans may wait for the collector
	propagates bool // whether traces go beyond this process
	local      bool // nothing names a collector: it is on this machine, without TLS
}

// environment reads the environment of a process.
type environment func(name string) string

// get returns a variable without the spaces around it, as the SDK does.
func (e environment) get(name string) string { return strings.TrimSpace(e(name)) }

// exporter returns a variable of the exporter, and its name.
func (e environment) exporter(name string) (value, from string) {
	if value = e.get(tracesOTLP + name); value != "" {
		return value, tracesOTLP + name
	}
	return e.get(otlp + name), otlp + name
}

// read returns nil if the environment configures no exporter. The error names each variable that is
// wrong, but has no value that may be secret.
func read(e environment) (*settings, error) {
	on, err := e.isOn()
	if err != nil || !on {
		return nil, err
	}
	s := &settings{queue: defaultQueue}
	endpoint, _ := e.exporter("ENDPOINT")
	insecure, _ := e.exporter("INSECURE")
	s.local = endpoint == "" && insecure == ""
	faults := []error{e.checkProtocol(s), e.checkPropagators(s), e.checkSampler(), e.checkResource()}
	for _, prefix := range []string{otlp, tracesOTLP} {
		faults = append(faults, e.checkExporter(prefix))
	}
	faults = append(faults, e.checkNumbers(s))
	return s, errors.Join(faults...)
}

// isOn reports whether an exporter is configured.
func (e environment) isOn() (bool, error) {
	disabled, err := e.flag("OTEL_SDK_DISABLED")
	if err != nil || disabled {
		return false, err
	}
	switch exporter := e.get("OTEL_TRACES_EXPORTER"); exporter {
	case "otlp":
		return true, nil
	case "none":
		return false, nil
	case "":
		endpoint, _ := e.exporter("ENDPOINT")
		return endpoint != "", nil
	default:
		return false, fmt.Errorf(`OTEL_TRACES_EXPORTER: %q is not "otlp" or "none"`, exporter)
	}
}

func (e environment) flag(name string) (bool, error) {
	switch value := strings.ToLower(e.get(name)); value {
	case "true":
		return true, nil
	case "", "false":
		return false, nil
	default:
		return false, fmt.Errorf(`%s: %q is not "true" or "false"`, name, value)
	}
}

func (e environment) checkProtocol(s *settings) error {
	protocol, name := e.exporter("PROTOCOL")
	switch protocol {
	case "":
		s.protocol = protocolHTTP
	case protocolGRPC, protocolHTTP, protocolJSON:
		s.protocol = protocol
	default:
		return fmt.Errorf("%s: %q is not %q, %q or %q", name, protocol, protocolGRPC, protocolHTTP, protocolJSON)
	}
	return nil
}

// checkPropagators accepts "baggage", which is part of the default. Sala uses no baggage and passes
// none on.
func (e environment) checkPropagators(s *settings) error {
	value := e.get("OTEL_PROPAGATORS")
	if value == "" {
		s.propagates = true
		return nil
	}
	for name := range strings.SplitSeq(value, ",") {
		switch name = strings.TrimSpace(name); name {
		case "tracecontext":
			s.propagates = true
		case "baggage", "none":
		default:
			return fmt.Errorf(`OTEL_PROPAGATORS: %q is not supported; "tracecontext", "baggage" and "none" are`, name)
		}
	}
	return nil
}

func (e environment) checkSampler() error {
	name := strings.ToLower(e.get("OTEL_TRACES_SAMPLER"))
	names := []string{"always_on", "always_off", "traceidratio", "parentbased_always_on", "parentbased_always_off", "parentbased_traceidratio"}
	if name != "" && !slices.Contains(names, name) {
		return fmt.Errorf("OTEL_TRACES_SAMPLER: %q is none of %s", name, strings.Join(names, ", "))
	}
	arg := e.get("OTEL_TRACES_SAMPLER_ARG")
	if arg == "" || !strings.HasSuffix(name, "traceidratio") {
		return nil
	}
	if ratio, err := strconv.ParseFloat(arg, 64); err != nil || !(ratio >= 0 && ratio <= 1) {
		return fmt.Errorf("OTEL_TRACES_SAMPLER_ARG: %q is not a number from 0 to 1", arg)
	}
	return nil
}

// checkResource accepts key=value,key=value with values that are escaped as in URLs.
func (e environment) checkResource() error {
	const name = "OTEL_RESOURCE_ATTRIBUTES"
	if e.get(name) == "" {
		return nil
	}
	for pair := range strings.SplitSeq(e.get(name), ",") {
		key, value, found := strings.Cut(pair, "=")
		if _, err := url.PathUnescape(value); err != nil || !found || strings.TrimSpace(key) == "" {
			return fmt.Errorf(`%s: %q is not key=value; separate pairs with commas, and escape special characters with "%%"`, name, pair)
		}
	}
	return nil
}

// checkExporter checks the variables of the exporter with one of the prefixes.
func (e environment) checkExporter(prefix string) error {
	_, insecure := e.flag(prefix + "INSECURE")
	faults := []error{e.checkEndpoint(prefix + "ENDPOINT"), e.checkHeaders(prefix + "HEADERS"), insecure, e.checkCertificates(prefix)}
	if c := e.get(prefix + "COMPRESSION"); c != "" && c != "gzip" && c != "none" {
		faults = append(faults, fmt.Errorf(`%sCOMPRESSION: %q is not "gzip" or "none"`, prefix, c))
	}
	return errors.Join(faults...)
}

// checkEndpoint doesn't repeat the URL, which may have a secret.
func (e environment) checkEndpoint(name string) error {
	value := e.get(name)
	if value == "" {
		return nil
	}
	u, err := url.Parse(value)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return fmt.Errorf("%s: not a URL such as http://localhost:4318 (OTLP over HTTP) or http://localhost:4317 (over gRPC)", name)
	}
	if u.User != nil {
		return fmt.Errorf("%s: OTLP has no user and password in the URL; set %sHEADERS", name, otlp)
	}
	return nil
}

// checkHeaders doesn't repeat the headers, which are secrets mostly.
func (e environment) checkHeaders(name string) error {
	if e.get(name) == "" {
		return nil
	}
	for pair := range strings.SplitSeq(e.get(name), ",") {
		key, value, found := strings.Cut(pair, "=")
		text, err := url.PathUnescape(value)
		if !found || err != nil || !httpguts.ValidHeaderFieldName(strings.TrimSpace(key)) || !httpguts.ValidHeaderFieldValue(strings.TrimSpace(text)) {
			return fmt.Errorf(`%s: not name=value,name=value, with special characters in values escaped with "%%"`, name)
		}
	}
	return nil
}

func (e environment) checkCertificates(prefix string) error {
	var faults []error
	if path := e.get(prefix + "CERTIFICATE"); path != "" {
		text, err := os.ReadFile(path)
		if err == nil && !x509.NewCertPool().AppendCertsFromPEM(text) {
			err = errors.New("the file has no certificate in PEM")
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("%sCERTIFICATE: %w", prefix, err))
		}
	}
	certificate, key := e.get(prefix+"CLIENT_CERTIFICATE"), e.get(prefix+"CLIENT_KEY")
	if certificate != "" || key != "" {
		if _, err := tls.LoadX509KeyPair(certificate, key); err != nil {
			faults = append(faults, fmt.Errorf("%sCLIENT_CERTIFICATE and %sCLIENT_KEY: %w", prefix, prefix, err))
		}
	}
	return errors.Join(faults...)
}

// checkNumbers checks times in milliseconds, and sizes.
func (e environment) checkNumbers(s *settings) error {
	const queue = "OTEL_BSP_MAX_QUEUE_SIZE"
	var faults []error
	check := func(least int, names ...string) {
		for _, name := range names {
			n, err := strconv.Atoi(e.get(name))
			switch {
			case e.get(name) == "":
			case err != nil || n < least:
				faults = append(faults, fmt.Errorf("%s: %q is not a whole number from %d", name, e.get(name), least))
			case name == queue:
				s.queue = n
			}
		}
	}
	check(1, otlp+"TIMEOUT", tracesOTLP+"TIMEOUT", "OTEL_BSP_SCHEDULE_DELAY", "OTEL_BSP_EXPORT_TIMEOUT", queue, "OTEL_BSP_MAX_EXPORT_BATCH_SIZE")
	check(-1, "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "OTEL_ATTRIBUTE_COUNT_LIMIT", "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT",
		"OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "OTEL_SPAN_EVENT_COUNT_LIMIT", "OTEL_SPAN_LINK_COUNT_LIMIT",
		"OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT", "OTEL_LINK_ATTRIBUTE_COUNT_LIMIT")
	return errors.Join(faults...)
}
