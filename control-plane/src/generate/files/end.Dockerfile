{% if recipe.writable %}
RUN install -d -o {{ recipe.user }} -g {{ recipe.user }}{% for path in recipe.writable %} {{ path|shell }}{% endfor %}

{% endif %}
USER {{ recipe.user }}
{% if web %}
EXPOSE {{ app.port }}
{% endif %}
{% if recipe.probe %}
HEALTHCHECK --interval=10s --timeout=5s --start-period={{ recipe.start_s }}s --retries=3 \
    CMD {{ recipe.probe|json_list }}
{% endif %}
{% if recipe.command %}
CMD {{ recipe.command|json_list }}
{% elif app.start %}
CMD ["sh", "-c", {{ app.start|json }}]
{% endif %}
