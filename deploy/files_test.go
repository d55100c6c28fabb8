package deploy

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

// readYAML reads a file of this folder with one document.
func readYAML[T any](t *testing.T, name string) (v T) {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	// A key beside a merge (<<) replaces what is merged; the decoder takes it for a duplicate.
	if err := yaml.UnmarshalWithOptions(text, &v, yaml.AllowDuplicateMapKey()); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return v
}

// compose is what the tests look at in compose.yaml.
type compose struct {
	Services map[string]struct {
		Image    string
		Volumes  []string
		Networks []string
		Ports    []string
	}
	Networks, Volumes map[string]any
}

var pinned = regexp.MustCompile(`:v?\d+(\.\d+)*(-alpine)?$`)

// The services of compose.yaml mount files that exist, and name networks, volumes and images with a
// version.
func TestCompose(t *testing.T) {
	c := readYAML[compose](t, "compose.yaml")
	for name, service := range c.Services {
		if service.Image != "sala" && !pinned.MatchString(service.Image) {
			t.Errorf("%s: the image %q has no version", name, service.Image)
		}
		for _, volume := range service.Volumes {
			source, _, _ := strings.Cut(volume, ":")
			_, named := c.Volumes[source]
			if _, err := os.Stat(source); err != nil && !named {
				t.Errorf("%s mounts %s, which is no file and no volume", name, source)
			}
		}
		for _, network := range service.Networks {
			if _, ok := c.Networks[network]; !ok {
				t.Errorf("%s is in the network %s, which doesn't exist", name, network)
			}
		}
		for _, port := range service.Ports {
			if name != "proxy" && !strings.HasPrefix(port, "127.0.0.1:") {
				t.Errorf("%s: other machines reach the port %s", name, port)
			}
		}
	}
	for _, name := range []string{"prometheus", "grafana"} {
		if _, ok := c.Services[name]; !ok {
			t.Errorf("%s isn't started", name)
		}
	}
}

// Prometheus scrapes the nodes of compose.yaml, and Grafana asks this Prometheus and finds the
// dashboard.
func TestComposeIsObserved(t *testing.T) {
	c := readYAML[compose](t, "compose.yaml")
	prometheus := readYAML[struct {
		Scrapes []struct {
			Job     string                       `yaml:"job_name"`
			Statics []struct{ Targets []string } `yaml:"static_configs"`
		} `yaml:"scrape_configs"`
	}](t, "prometheus/prometheus.yaml")
	scraped := prometheus.Scrapes[0].Statics[0].Targets
	if want := []string{"node1:9092", "node2:9092"}; !slices.Equal(scraped, want) || prometheus.Scrapes[0].Job != "sala" {
		t.Errorf("the targets are %v, want %v", scraped, want)
	}
	shares := func(a, b string) bool {
		return slices.ContainsFunc(c.Services[a].Networks, func(n string) bool { return slices.Contains(c.Services[b].Networks, n) })
	}
	if !shares("prometheus", "node1") || !shares("prometheus", "node2") || !shares("grafana", "prometheus") {
		t.Error("Prometheus and Grafana don't reach what they ask")
	}
	sources := readYAML[struct{ Datasources []struct{ URL string } }](t, "grafana/provisioning/datasources/prometheus.yaml")
	if url := sources.Datasources[0].URL; url != "http://prometheus:9090" {
		t.Errorf("Grafana asks %s", url)
	}
	provided := readYAML[struct {
		Providers []struct{ Options struct{ Path string } }
	}](t, "grafana/provisioning/dashboards/sala.yaml")
	if mount := "./grafana/sala.json:" + provided.Providers[0].Options.Path + "/sala.json:ro"; !slices.Contains(c.Services["grafana"].Volumes, mount) {
		t.Errorf("Grafana has no %s", mount)
	}
}

// kustomization is what the tests look at in one.
type kustomization struct {
	Kind       string
	Resources  []string
	Components []string
}

// Every file of a kustomization exists, and the default one needs no kinds that a cluster may lack.
func TestKustomizations(t *testing.T) {
	for dir, kind := range map[string]string{"kubernetes": "Kustomization", "kubernetes/monitoring": "Component"} {
		k := readYAML[kustomization](t, filepath.Join(dir, "kustomization.yaml"))
		if k.Kind != kind || len(k.Components) > 0 {
			t.Errorf("%s is a %s with the components %v, want a %s without", dir, k.Kind, k.Components, kind)
		}
		for _, name := range k.Resources {
			object := readYAML[struct {
				APIVersion string `yaml:"apiVersion"`
			}](t, filepath.Join(dir, name))
			if kind == "Kustomization" && strings.HasPrefix(object.APIVersion, "monitoring.coreos.com/") {
				t.Errorf("%s needs the Prometheus operator", name)
			}
		}
	}
}

// The ServiceMonitor selects the service, whose port leads to the pods' port for metrics.
func TestServiceMonitor(t *testing.T) {
	monitor := readYAML[struct {
		Spec struct {
			JobLabel string `yaml:"jobLabel"`
			Selector struct {
				MatchLabels map[string]string `yaml:"matchLabels"`
			}
			Endpoints []struct {
				Port        string
				HonorLabels bool `yaml:"honorLabels"`
			}
		}
	}](t, "kubernetes/monitoring/servicemonitor.yaml")
	service := readYAML[struct {
		Metadata struct{ Labels map[string]string }
		Spec     struct {
			Selector map[string]string
			Ports    []struct {
				Name       string
				TargetPort string `yaml:"targetPort"`
			}
		}
	}](t, "kubernetes/monitoring/service.yaml")
	pods := readYAML[struct {
		Spec struct {
			Template struct {
				Metadata struct{ Labels map[string]string }
				Spec     struct {
					Containers []struct{ Ports []struct{ Name string } }
				}
			}
		}
	}](t, "kubernetes/deployment.yaml")
	for label, value := range monitor.Spec.Selector.MatchLabels {
		if service.Metadata.Labels[label] != value {
			t.Errorf("the service's label %s is %q, want %q", label, service.Metadata.Labels[label], value)
		}
	}
	if job := service.Metadata.Labels[monitor.Spec.JobLabel]; job != "sala" {
		t.Errorf("the job is called %q", job)
	}
	for label, value := range service.Spec.Selector {
		if pods.Spec.Template.Metadata.Labels[label] != value {
			t.Errorf("the service selects no pods by %s", label)
		}
	}
	endpoint, port := monitor.Spec.Endpoints[0], service.Spec.Ports[0]
	if endpoint.Port != port.Name || !endpoint.HonorLabels {
		t.Errorf("the endpoint is %+v, and the service's port %s", endpoint, port.Name)
	}
	if ports := pods.Spec.Template.Spec.Containers[0].Ports; !slices.ContainsFunc(ports, func(p struct{ Name string }) bool { return p.Name == port.TargetPort }) {
		t.Errorf("the pods have no port %s: %v", port.TargetPort, ports)
	}
}
