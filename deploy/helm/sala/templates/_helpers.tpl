{{/* The name of every object: the release's, unless that repeats the chart's. */}}
{{- define "sala.name" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{ .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else -}}
{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 50 | trimSuffix "-" }}
{{- end -}}
{{- end }}

{{/* What selects the pods. It must not change in the life of a release. */}}
{{- define "sala.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "sala.labels" -}}
{{ include "sala.selector" . }}
app.kubernetes.io/version: {{ .Values.image.tag | default .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "sala.secret" -}}
{{- if .Values.secret.create -}}
{{ include "sala.name" . }}
{{- else -}}
{{ required "secret.existing or secret.create must be set" .Values.secret.existing }}
{{- end -}}
{{- end }}
