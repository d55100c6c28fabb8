// Package helm_test renders the chart and compares it with the manifests of deploy/kubernetes. It
// needs helm, which `make chart-check` builds.
package helm_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	apps "k8s.io/api/apps/v1"
	autoscaling "k8s.io/api/autoscaling/v2"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

const (
	helm      = "../../.tools/bin/helm"
	manifests = "../kubernetes"
)

// objects are what a chart or a folder of manifests contains, by kind and name.
type objects map[string]any

// custom is an object of the Prometheus operator, whose types this module doesn't have.
type custom struct {
	meta.TypeMeta   `json:",inline"`
	meta.ObjectMeta `json:"metadata"`
	Spec            map[string]any `json:"spec"`
}

// add decodes each document strictly: an unknown field or a wrong type is an error.
func (o objects) add(t *testing.T, text []byte) {
	t.Helper()
	for document := range strings.SplitSeq("\n"+string(text), "\n---") {
		var head custom
		if err := yaml.Unmarshal([]byte(document), &head); err != nil {
			t.Fatalf("%v in\n%s", err, document)
		}
		if head.Kind == "" {
			continue // only comments
		}
		object := typed(head)
		if object == nil {
			t.Fatalf("the kind %s isn't known here", head.Kind)
		}
		if err := yaml.UnmarshalStrict([]byte(document), object); err != nil {
			t.Fatalf("%s %s: %v", head.Kind, head.Name, err)
		}
		o[head.Kind+" "+head.Name] = object
	}
}

func typed(head custom) any {
	switch head.APIVersion + " " + head.Kind {
	case "apps/v1 Deployment":
		return &apps.Deployment{}
	case "autoscaling/v2 HorizontalPodAutoscaler":
		return &autoscaling.HorizontalPodAutoscaler{}
	case "v1 ConfigMap":
		return &core.ConfigMap{}
	case "v1 Secret":
		return &core.Secret{}
	case "v1 Service":
		return &core.Service{}
	case "networking.k8s.io/v1 Ingress":
		return &networking.Ingress{}
	case "networking.k8s.io/v1 NetworkPolicy":
		return &networking.NetworkPolicy{}
	case "policy/v1 PodDisruptionBudget":
		return &policy.PodDisruptionBudget{}
	case "monitoring.coreos.com/v1 ServiceMonitor", "monitoring.coreos.com/v1 PrometheusRule":
		return &custom{}
	default:
		return nil
	}
}

// run runs helm and returns its output, with the errors if it fails. It reads no configuration of the user.
func run(t *testing.T, args ...string) (string, error) {
	t.Helper()
	command := exec.CommandContext(t.Context(), helm, args...)
	command.Env = append(os.Environ(), "HOME="+t.TempDir())
	out, err := command.Output()
	var failed *exec.ExitError
	if errors.As(err, &failed) {
		return string(out) + string(failed.Stderr), err
	}
	return string(out), err
}

// render renders the chart. The release is called sala, so that the objects are called like the
// manifests'.
func render(t *testing.T, set ...string) objects {
	t.Helper()
	args := []string{"template", "sala", "sala", "--namespace", "sala"}
	for _, value := range set {
		args = append(args, "--set", value)
	}
	out, err := run(t, args...)
	if err != nil {
		t.Fatalf("helm %v: %v\n%s", args, err, out)
	}
	o := objects{}
	o.add(t, []byte(out))
	return o
}

func read(t *testing.T, names ...string) objects {
	t.Helper()
	o := objects{}
	for _, name := range names {
		text, err := os.ReadFile(filepath.Join(manifests, name))
		if err != nil {
			t.Fatal(err)
		}
		o.add(t, text)
	}
	return o
}

// comparable removes from an object what the chart has and the manifests don't: labels that name the
// release, and a default that the chart writes out.
func (o objects) comparable() {
	for key, object := range o {
		owner, ok := object.(meta.ObjectMetaAccessor)
		if c, custom := object.(*custom); custom {
			owner, ok = c, true
			unlabel(c.Spec["selector"])
		}
		if !ok {
			continue
		}
		owner.GetObjectMeta().SetNamespace("")
		component := owner.GetObjectMeta().GetLabels()["app.kubernetes.io/component"]
		owner.GetObjectMeta().SetLabels(nil)
		if component != "" {
			owner.GetObjectMeta().SetLabels(map[string]string{"app.kubernetes.io/component": component})
		}
		switch v := o[key].(type) {
		case *apps.Deployment:
			pod := &v.Spec.Template
			pod.Labels = nil
			delete(pod.Annotations, "checksum/config")
			pod.Spec.TopologySpreadConstraints[0].LabelSelector.MatchLabels = nil
			v.Spec.Selector.MatchLabels = nil
			container := &pod.Spec.Containers[0]
			container.Image, container.ImagePullPolicy = "", ""
			container.ReadinessProbe.HTTPGet.Scheme, container.LivenessProbe.HTTPGet.Scheme = "", ""
		case *core.Service:
			v.Spec.Selector = nil
			if v.Spec.Type == core.ServiceTypeClusterIP {
				v.Spec.Type = ""
			}
			if v.Spec.SessionAffinity == core.ServiceAffinityNone {
				v.Spec.SessionAffinity = ""
			}
		case *policy.PodDisruptionBudget:
			v.Spec.Selector.MatchLabels = nil
		case *networking.NetworkPolicy:
			v.Spec.PodSelector.MatchLabels = nil
		}
	}
}

func unlabel(selector any) {
	if s, ok := selector.(map[string]any); ok {
		if labels, ok := s["matchLabels"].(map[string]any); ok {
			delete(labels, "app.kubernetes.io/name")
			delete(labels, "app.kubernetes.io/instance")
		}
	}
}

func (o objects) equal(t *testing.T, want objects) {
	t.Helper()
	o.comparable()
	want.comparable()
	for key := range want {
		got, _ := yaml.Marshal(o[key])
		wanted, _ := yaml.Marshal(want[key])
		if !bytes.Equal(got, wanted) {
			t.Errorf("%s: the chart has\n%s\nthe manifests\n%s", key, got, wanted)
		}
	}
	for key := range o {
		if want[key] == nil {
			t.Errorf("only the chart has %s", key)
		}
	}
}

func TestLint(t *testing.T) {
	if out, err := run(t, "lint", "--strict", "sala"); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// The default values give what the kustomization gives.
func TestDefaultsAreTheManifests(t *testing.T) {
	chart := render(t)
	config, ok := chart["ConfigMap sala"].(*core.ConfigMap)
	if !ok {
		t.Fatal("there is no configuration")
	}
	delete(chart, "ConfigMap sala")
	chart.equal(t, read(t, "deployment.yaml", "service.yaml", "ingress.yaml", "poddisruptionbudget.yaml", "networkpolicy.yaml"))

	text, err := os.ReadFile(filepath.Join(manifests, "sala.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var got, want map[string]any
	if err := yaml.Unmarshal([]byte(config.Data["sala.yaml"]), &got); err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(text, &want); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("the chart configures %v, the manifests %v", got, want)
	}
}

// What is off by default gives what the other manifests give.
func TestOptionsAreTheManifests(t *testing.T) {
	chart := render(t, "autoscaling.enabled=true", "serviceMonitor.enabled=true", "prometheusRule.enabled=true")
	if replicas := chart["Deployment sala"].(*apps.Deployment).Spec.Replicas; replicas != nil {
		t.Errorf("the autoscaler's number of nodes is set to %d", *replicas)
	}
	for _, key := range []string{"Deployment sala", "ConfigMap sala", "Service sala", "Service sala-control", "Ingress sala", "PodDisruptionBudget sala", "NetworkPolicy sala"} {
		delete(chart, key)
	}
	chart.equal(t, read(t, "hpa.yaml", "monitoring/service.yaml", "monitoring/servicemonitor.yaml", "monitoring/prometheusrule.yaml"))
}

// Every selector finds the pods, and every name that an object refers to exists, also if the release
// has another name.
func TestObjectsFindEachOther(t *testing.T) {
	out, err := run(t, "template", "live", "sala", "--set", "secret.create=true", "--set", "secret.values.SALA_API_KEY=key", "--set", "serviceMonitor.enabled=true")
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	o := objects{}
	o.add(t, []byte(out))
	deployment, ok := o["Deployment live-sala"].(*apps.Deployment)
	if !ok {
		t.Fatalf("the objects are %v", o)
	}
	pod := deployment.Spec.Template
	selectors := map[string]map[string]string{"the deployment": deployment.Spec.Selector.MatchLabels}
	for key, object := range o {
		switch v := object.(type) {
		case *core.Service:
			selectors[key] = v.Spec.Selector
		case *policy.PodDisruptionBudget:
			selectors[key] = v.Spec.Selector.MatchLabels
		case *networking.NetworkPolicy:
			selectors[key] = v.Spec.PodSelector.MatchLabels
		}
	}
	for key, selector := range selectors {
		for label, value := range selector {
			if pod.Labels[label] != value {
				t.Errorf("%s selects pods by %s=%s, and they have %q", key, label, value, pod.Labels[label])
			}
		}
		if selector["app.kubernetes.io/instance"] != "live" {
			t.Errorf("%s selects pods of other releases: %v", key, selector)
		}
	}
	secret, ok := o["Secret "+pod.Spec.Containers[0].EnvFrom[0].SecretRef.Name].(*core.Secret)
	if !ok || secret.StringData["SALA_API_KEY"] != "key" {
		t.Error("the pods' secret doesn't exist")
	}
	if o["ConfigMap "+pod.Spec.Volumes[0].ConfigMap.Name] == nil {
		t.Error("the pods' configuration doesn't exist")
	}
	backend := o["Ingress live-sala"].(*networking.Ingress).Spec.Rules[0].HTTP.Paths[0].Backend.Service
	if o["Service "+backend.Name] == nil {
		t.Error("the Ingress's service doesn't exist")
	}
}

// A change of the settings changes the pods, so that they restart.
func TestChangesRestart(t *testing.T) {
	sum := func(set ...string) string {
		return render(t, set...)["Deployment sala"].(*apps.Deployment).Spec.Template.Annotations["checksum/config"]
	}
	if sum() == sum("config.log_level=debug") {
		t.Error("a change of the configuration restarts nothing")
	}
	created := []string{"secret.create=true", "secret.values.SALA_API_KEY=a"}
	if sum(created...) == sum("secret.create=true", "secret.values.SALA_API_KEY=b") {
		t.Error("a change of the secret restarts nothing")
	}
}

func TestASecretIsRequired(t *testing.T) {
	if out, err := run(t, "template", "sala", "sala", "--set", "secret.existing="); err == nil || !strings.Contains(out, "secret.existing or secret.create") {
		t.Errorf("without a secret: %v\n%s", err, out)
	}
}
