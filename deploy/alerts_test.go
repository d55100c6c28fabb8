package deploy

import (
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// ruleGroups are the alerts of a file.
type ruleGroups struct {
	Groups []struct {
		Name  string
		Rules []struct {
			Alert       string
			Expr        string
			For         string
			Labels      map[string]string
			Annotations map[string]string
		}
	}
}

var runbook = regexp.MustCompile(`(?m)^#### (Sala\w+)\n\n(.+)$`)

// Each alert says what it means, and has a paragraph in docs/operations.md that says what to do. There
// is no paragraph without an alert.
func TestAlertsHaveRunbooks(t *testing.T) {
	docs, err := os.ReadFile("../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	var paragraphs []string
	for _, found := range runbook.FindAllStringSubmatch(string(docs), -1) {
		paragraphs = append(paragraphs, found[1])
	}
	var alerts []string
	for _, group := range readYAML[ruleGroups](t, "prometheus/rules.yaml").Groups {
		for _, rule := range group.Rules {
			alerts = append(alerts, rule.Alert)
			want := "https://github.com/salabroker/sala/blob/main/docs/operations.md#" + strings.ToLower(rule.Alert)
			if got := rule.Annotations["runbook_url"]; got != want {
				t.Errorf("%s: the runbook is at %s, want %s", rule.Alert, got, want)
			}
			if rule.Annotations["summary"] == "" || rule.Annotations["description"] == "" {
				t.Errorf("%s has no summary, or no description", rule.Alert)
			}
			if severity := rule.Labels["severity"]; severity != "critical" && severity != "warning" {
				t.Errorf("%s has the severity %q", rule.Alert, severity)
			}
		}
	}
	if len(alerts) == 0 || !slices.Equal(alerts, paragraphs) {
		t.Errorf("the alerts are\n%v, and the paragraphs of docs/operations.md, in their order,\n%v", alerts, paragraphs)
	}
}

// Each alert has a test of promtool in which it fires.
func TestAlertsAreTested(t *testing.T) {
	tests := readYAML[struct {
		Tests []struct {
			Name     string
			Promtool []struct {
				Samples []struct{ Labels string } `yaml:"exp_samples"`
			} `yaml:"promql_expr_test"`
		}
	}](t, "prometheus/rules_test.yaml")
	fires, quiet := map[string]bool{}, map[string]bool{}
	for _, test := range tests.Tests {
		for _, at := range test.Promtool {
			if len(at.Samples) == 0 {
				quiet[test.Name] = true
			}
			for _, sample := range at.Samples {
				if strings.Contains(sample.Labels, `alertname="`+test.Name+`"`) {
					fires[test.Name] = true
				}
			}
		}
	}
	for _, group := range readYAML[ruleGroups](t, "prometheus/rules.yaml").Groups {
		for _, rule := range group.Rules {
			if !fires[rule.Alert] || !quiet[rule.Alert] {
				t.Errorf("%s: a test in which it fires: %t; in which it doesn't: %t", rule.Alert, fires[rule.Alert], quiet[rule.Alert])
			}
		}
	}
}

// The Prometheus operator gets the same alerts.
func TestPrometheusRule(t *testing.T) {
	plain := readYAML[ruleGroups](t, "prometheus/rules.yaml")
	object := readYAML[struct {
		Kind string
		Spec ruleGroups
	}](t, "kubernetes/monitoring/prometheusrule.yaml")
	if object.Kind != "PrometheusRule" || !reflect.DeepEqual(object.Spec, plain) {
		t.Error("kubernetes/monitoring/prometheusrule.yaml differs from prometheus/rules.yaml")
	}
}
