// Swagger UI over this server's description of itself; validatorUrl null: nothing is sent to a validator elsewhere.
window.SwaggerUIBundle({ url: "/openapi.json", dom_id: "#swagger", validatorUrl: null, deepLinking: true });
