{% if app.manifests %}
COPY {{ app.manifests|copied }}
{% for path in app.local %}
COPY {{ path|copied_to_its_place }}
{% endfor %}
{% else %}
COPY . .
{% endif %}
RUN {{ mounts }} {{ install }}
{% if app.manifests %}
COPY . .
{% endif %}
